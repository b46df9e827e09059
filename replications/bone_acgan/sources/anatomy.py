"""Expected counts of whole-body bone scans of phantoms: a skeleton that takes up tracer, in two views.

Places are in mm: x from the midline, positive towards the patient's left; y down from the crown of the head. A picture pixel is
MM_PER_PIXEL wide. In the anterior view the patient's left lies at the right; the posterior view is seen from behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

MM_PER_PIXEL = 2.4
ROWS, COLUMNS = 768, 256  # 1843 x 614 mm
TOP = 14  # pixels above the head
SUBPIXELS = 4  # bits behind the point of the places that are drawn
REGIONS = ("skull", "spine", "sternum", "shoulders", "ribs", "arms", "hands", "pelvis", "hips", "legs", "knees", "feet")
SPREAD = 0.5  # standard deviation of the logarithm of a region's uptake among patients

Point = tuple[float, float]


@dataclass(frozen=True)
class Lesion:
    """A focus of raised uptake: place and radius in mm, uptake in units of a vertebra, how much each view shows of it."""

    x: float
    y: float
    radius: float
    uptake: float
    anterior: float
    posterior: float


@dataclass(frozen=True)
class Anatomy:
    """What both views of a patient share."""

    height: float  # factor on all lengths along y
    width: float  # and along x
    tilt: float  # degrees
    shift: float  # mm
    arms: float  # mm that the hands are spread more than usual
    legs: float
    bend: float  # mm of scoliosis
    soft: float  # uptake of soft tissue
    bladder: float
    kidneys: float
    joints: float  # uptake of worn joints
    counts: float  # in a vertebra
    regions: Mapping[str, float]  # factor on all bones of a region, alike in both views and on both sides
    bones: np.ndarray  # factor on each bone, the same on both sides, float (128,)
    patches: np.ndarray  # unevenness of the uptake, logarithmic, the same on both sides, float32 (24, 8)


def draw_anatomy(random: np.random.Generator, strength: float = 1.0) -> Anatomy:
    """A patient. strength: how far patients differ; with 0 all are the same.

    >>> alike = [draw_anatomy(np.random.default_rng(seed), strength=0).height for seed in (1, 2)]
    >>> alike[0] == alike[1]
    True
    """

    def within(low: float, high: float) -> float:
        return (low + high) / 2 + strength * random.uniform(-0.5, 0.5) * (high - low)

    half = (strength * random.normal(0, 0.12, (24, 4))).astype(np.float32)
    return Anatomy(
        height=within(0.90, 1.02),
        width=within(0.92, 1.10),
        tilt=strength * random.normal(0, 0.6),
        shift=strength * random.normal(0, 4),
        arms=within(-12, 14),
        legs=within(-14, 18),
        bend=strength * random.normal(0, 3),
        soft=within(0.10, 0.20),
        bladder=within(0.3, 0.8),
        kidneys=within(0.15, 0.4),
        joints=max(0.0, within(-0.25, 0.25)),
        counts=within(28, 55),
        regions={name: float(np.exp(strength * SPREAD * random.uniform(-1.7, 1.7))) for name in REGIONS},  # evenly spread
        bones=np.exp(strength * random.normal(0, 0.12, 128)),
        patches=np.concatenate([half, half[:, ::-1]], axis=1),
    )


class Canvas:
    """Uptake maps, float32 (ROWS, COLUMNS): of bone, where of overlapping shapes the brightest counts, and of soft tissue."""

    def __init__(self, anatomy: Anatomy):
        self.bone = np.zeros((ROWS, COLUMNS), np.float32)
        self.soft = np.zeros((ROWS, COLUMNS), np.float32)
        self._regions, self._factors, self._drawn = anatomy.regions, anatomy.bones, 0
        self._region = 1.0

    def change_side(self) -> None:
        """The bones of the other side are drawn next, which take up as much."""
        self._drawn = len(self._factors) // 2

    def enter(self, region: str) -> None:
        """What is drawn next lies in a region of the skeleton."""
        self._region = self._regions[region]

    def oval(
        self, middle: Point, radii: Point, uptake: float, *, ring: float = 0, turn: float = 0, soft=False, add=False
    ) -> None:
        """An ellipse, or with `ring` its outline of that many mm."""
        axes = tuple(round(radius / MM_PER_PIXEL * 2**SUBPIXELS) for radius in radii)
        thickness = max(1, round(ring / MM_PER_PIXEL)) if ring else -1
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        cv2.ellipse(mask, _place(middle), axes, turn, 0, 360, 255, thickness, cv2.LINE_AA, SUBPIXELS)
        self._put(mask, uptake, soft, add)

    def line(self, points: Sequence[Point], radius: float, uptake: float, *, soft: bool = False) -> None:
        """A tube along the points."""
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        thickness = max(1, round(2 * radius / MM_PER_PIXEL))
        cv2.polylines(mask, [np.array([_place(p) for p in points])], False, 255, thickness, cv2.LINE_AA, SUBPIXELS)
        self._put(mask, uptake, soft, False)

    def area(self, points: Sequence[Point], uptake: float, *, soft: bool = False) -> None:
        """A polygon."""
        mask = np.zeros((ROWS, COLUMNS), np.uint8)
        cv2.fillPoly(mask, [np.array([_place(p) for p in points])], 255, cv2.LINE_AA, SUBPIXELS)
        self._put(mask, uptake, soft, False)

    def _put(self, mask: np.ndarray, uptake: float, soft: bool, add: bool) -> None:
        target = self.soft if soft else self.bone
        factor = 1.0 if soft or add else self._region * self._factors[self._drawn % len(self._factors)]
        self._drawn += not (soft or add)
        value = np.float32(uptake * factor / 255) * mask
        np.add(target, value, out=target) if add else np.maximum(target, value, out=target)


def _place(point: Point) -> tuple[int, int]:
    x, y = COLUMNS / 2 + point[0] / MM_PER_PIXEL, TOP + point[1] / MM_PER_PIXEL
    return round(x * 2**SUBPIXELS), round(y * 2**SUBPIXELS)


def expect_counts(anatomy: Anatomy, lesions: Sequence[Lesion], posterior: bool) -> np.ndarray:
    """Expected counts of one view: float32 (ROWS, COLUMNS), with a background of 0.15."""
    canvas = Canvas(anatomy)
    near = _Depth(posterior)
    _draw_soft_tissue(canvas, anatomy)
    _draw_head_and_trunk(canvas, anatomy, near)
    for side in (-1, 1):
        canvas.change_side()
        _draw_chest(canvas, side, near)
        _draw_arm(canvas, side, anatomy)
        _draw_pelvis_and_leg(canvas, side, anatomy, near)
    canvas.enter("pelvis")
    canvas.area([(-32, 742), (32, 742), (16, 842), (-16, 842)], near(0.40, 0.95))  # sacrum
    for side in (-1, 1):
        canvas.oval((62 * side, 610 + 12 * side), (27, 48), anatomy.kidneys * near(0.3, 1), turn=8 * side, add=True)
    canvas.oval((0, 872), (38, 27), anatomy.bladder * near(1, 0.45), add=True)
    for x, y in ((175, 322), (78, 1252), (66, 1605)):  # shoulders, knees, ankles
        for side in (-1, 1):
            add_focus(canvas.bone, Lesion(side * x, y, 13, anatomy.joints, 1, 1), posterior)
    for lesion in lesions:
        add_focus(canvas.bone, lesion, posterior)
    uptake = cv2.GaussianBlur(canvas.bone, (0, 0), 1.7) + anatomy.soft * cv2.GaussianBlur(canvas.soft, (0, 0), 5)
    uptake *= np.exp(cv2.resize(anatomy.patches, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC))
    uptake = cv2.warpAffine(uptake, _pose(anatomy), (COLUMNS, ROWS), flags=cv2.INTER_LINEAR)
    return np.maximum((uptake[:, ::-1] if posterior else uptake) * np.float32(anatomy.counts), 0) + np.float32(0.15)


class _Depth:
    """How much of a bone a view shows: near(anterior, posterior)."""

    def __init__(self, posterior: bool):
        self.posterior = posterior

    def __call__(self, anterior: float, posterior: float) -> float:
        return posterior if self.posterior else anterior


def add_focus(uptake: np.ndarray, lesion: Lesion, posterior: bool) -> None:
    """Add a lesion to an uptake map, in place."""
    middle = (COLUMNS / 2 + lesion.x / MM_PER_PIXEL, TOP + lesion.y / MM_PER_PIXEL)
    rows, columns = (np.arange(size) - place for size, place in ((ROWS, middle[1]), (COLUMNS, middle[0])))
    radius = lesion.radius / MM_PER_PIXEL
    shown = lesion.uptake * (lesion.posterior if posterior else lesion.anterior)
    uptake += (shown * np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * radius**2))).astype(np.float32)


def _pose(anatomy: Anatomy) -> np.ndarray:
    """Tilt, shift and size of the body, (2, 3)."""
    turn = cv2.getRotationMatrix2D((COLUMNS / 2, 10), anatomy.tilt, 1.0)
    turn[0, 2] += anatomy.shift / MM_PER_PIXEL
    size = np.array([[anatomy.width, 0, COLUMNS / 2 * (1 - anatomy.width)], [0, anatomy.height, 0], [0, 0, 1]])
    return turn @ size


def _draw_soft_tissue(canvas: Canvas, anatomy: Anatomy) -> None:
    canvas.oval((0, 115), (80, 112), 1, soft=True)
    canvas.line([(0, 200), (0, 330)], 45, 1, soft=True)
    right = [(60, 270), (195, 310), (180, 520), (165, 640), (180, 800), (185, 880)]
    canvas.area([(-x, y) for x, y in right] + right[::-1], 1.25, soft=True)
    for side in (-1, 1):
        elbow, hand = side * (215 + anatomy.arms / 2), side * (236 + anatomy.arms)
        canvas.line([(185 * side, 330), (elbow, 620)], 36, 0.9, soft=True)
        canvas.line([(elbow, 620), (hand, 870)], 27, 0.8, soft=True)
        canvas.oval((hand + 2 * side, 915), (32, 58), 0.7, soft=True)
        knee, foot = side * (78 + anatomy.legs / 2), side * (68 + anatomy.legs)
        canvas.line([(98 * side, 860), (knee, 1250)], 66, 1.1, soft=True)
        canvas.line([(knee, 1250), (foot, 1600)], 42, 0.9, soft=True)
        canvas.oval((foot + 6 * side, 1650), (36, 50), 0.8, soft=True)


def _draw_head_and_trunk(canvas: Canvas, anatomy: Anatomy, near: _Depth) -> None:
    canvas.enter("skull")
    canvas.oval((0, 110), (72, 100), 0.42)  # skull: inside, shell, base, jaw
    canvas.oval((0, 108), (68, 96), 0.62, ring=12)
    canvas.oval((0, 165), (50, 34), near(0.72, 0.60))
    canvas.oval((0, 200), (40, 24), near(0.60, 0.45))

    def bend(y: float) -> float:
        return anatomy.bend * float(np.sin((y - 250) / 480 * np.pi))

    canvas.enter("spine")
    for y in range(222, 300, 16):  # cervical, thoracic, lumbar vertebrae
        canvas.oval((bend(y), y), (19, 7.5), near(0.45, 0.75))
    for place in np.arange(302, 560, 21.5).tolist():
        canvas.oval((bend(place), place), (17 + (place - 300) / 80, 9.5), near(0.33, 1.0))
    for y in range(566, 735, 34):
        canvas.oval((bend(y), y), (25, 15.5), near(0.55, 0.98))
    canvas.line([(0, 222), (bend(480), 480), (0, 735)], 14, near(0.30, 0.72))
    canvas.enter("sternum")
    canvas.oval((0, 330), (30, 20), near(0.85, 0.10))  # sternum
    canvas.line([(0, 330), (0, 480)], 15, near(0.80, 0.10))


def _draw_chest(canvas: Canvas, side: int, near: _Depth) -> None:
    canvas.enter("shoulders")
    canvas.line([(25 * side, 316), (95 * side, 300), (165 * side, 302)], 8, near(0.62, 0.30))  # clavicle
    blade = [(80, 340), (158, 330), (150, 350), (112, 470), (98, 465)]
    canvas.area([(side * x, y) for x, y in blade], near(0.28, 0.60))  # scapula, its spine and borders
    canvas.line([(82 * side, 342), (165 * side, 318)], 8, near(0.30, 0.85))
    canvas.line([(82 * side, 342), (105 * side, 470)], 6, near(0.20, 0.75))
    canvas.line([(158 * side, 332), (108 * side, 470)], 6, near(0.25, 0.80))
    canvas.enter("ribs")
    along = np.linspace(0, 1, 12)
    for number, reach in enumerate((62, 88, 106, 120, 131, 139, 144, 146, 144, 138, 122, 96)):  # ribs
        y = 306 + 21.3 * number
        back = [(side * (16 + (reach - 16) * t), y - 10 * np.sin(np.pi * t) + 62 * t**1.7) for t in along]
        canvas.line(back, 4, near(0.16, 0.62))
        if number < 9:
            inner, fall = reach - 38 - 7 * max(0, number - 5), 46 * (1 if number < 6 else 1.3)
            front = [(side * (reach - inner * t), y + 62 + 34 * t - fall * t * t) for t in along]
            canvas.line(front, 4, near(0.55, 0.17))
        canvas.line([(side * reach, y + 45), (side * reach, y + 70)], 5, 0.62)


def _draw_arm(canvas: Canvas, side: int, anatomy: Anatomy) -> None:
    spread = anatomy.arms
    canvas.enter("shoulders")
    canvas.oval((176 * side, 324), (25, 25), 0.85)  # head of the humerus, shaft, elbow, radius and ulna, wrist, fingers
    canvas.enter("arms")
    canvas.line([(182 * side, 330), (side * (215 + spread / 2), 615)], 10, 0.42)
    canvas.oval((side * (217 + spread / 2), 628), (18, 17), 0.62)
    canvas.line([(side * (210 + spread / 2), 635), (side * (228 + spread), 860)], 6, 0.38)
    canvas.line([(side * (224 + spread / 2), 635), (side * (243 + spread), 860)], 6, 0.38)
    canvas.enter("hands")
    wrist = 237 + spread
    canvas.oval((side * wrist, 870), (18, 12), 0.58)
    for finger in range(-2, 3):
        tip = (side * (wrist + 10 * finger), 955 - 8 * abs(finger))
        canvas.line([(side * (wrist + 5 * finger), 878), tip], 3.5, 0.42)


def _draw_pelvis_and_leg(canvas: Canvas, side: int, anatomy: Anatomy, near: _Depth) -> None:
    spread = anatomy.legs
    knee, ankle = 78 + spread / 2, 70 + spread
    canvas.enter("pelvis")
    wing = [(30, 742), (75, 722), (125, 745), (138, 785), (118, 830), (80, 845), (45, 815)]
    canvas.area([(side * x, y) for x, y in wing], near(0.42, 0.52))
    crest = [(32, 745), (76, 724), (124, 747), (136, 782)]
    canvas.line([(side * x, y) for x, y in crest], 8, near(0.75, 0.80))
    canvas.line([(40 * side, 762), (34 * side, 815)], 9, near(0.35, 1.25))  # sacro-iliac joint
    canvas.enter("hips")
    canvas.oval((96 * side, 850), (29, 29), 0.68)  # head of the femur; pubis and ischium
    canvas.oval((52 * side, 885), (36, 34), 0.55, ring=15)
    canvas.oval((126 * side, 872), (16, 20), 0.62)
    canvas.enter("legs")
    canvas.line([(100 * side, 855), (122 * side, 880), (side * (84 + spread / 2), 1215)], 12, 0.46)
    canvas.enter("knees")
    canvas.oval((side * knee, 1238), (37, 22), 0.66)
    canvas.oval((side * knee, 1240), (19, 19), near(0.85, 0.50))  # patella
    canvas.oval((side * knee, 1275), (35, 18), 0.66)
    canvas.enter("legs")
    canvas.line([(side * (knee - 2), 1285), (side * (ankle - 2), 1590)], 12, 0.48)
    canvas.line([(side * (knee + 22), 1290), (side * (ankle + 14), 1590)], 4, 0.25)
    canvas.enter("feet")
    canvas.oval((side * ankle, 1605), (24, 16), 0.70)
    canvas.oval((side * (ankle + 2), 1640), (22, 28), 0.62)
    canvas.oval((side * (ankle + 8), 1680), (26, 20), 0.45)
