"""Foreign, damaged and hostile network files in a run, their checksums in order: one line, and nothing in them is run."""

import io
import json
import zipfile

import pytest
from tiny_runs import PACKAGES, build_network, draw_picture, save_picture, write_tiny_run

from common.files import hash_file


def build_foreign(kind: str, height: int, width: int, classes: int):
    """A network that Keras saves, and that is none of a run."""
    import keras

    layers = keras.layers
    if kind == "other size":
        return build_network(height + 7, width + 3, classes)
    if kind == "other classes":
        return build_network(height, width, classes + 2)
    if kind == "Sequential":
        return keras.Sequential([keras.Input((height, width, 1)), layers.Flatten(), layers.Dense(classes, "softmax")])
    if kind == "numbers":
        given = keras.Input((5,))
        return keras.Model(given, layers.Dense(classes, "softmax")(given))
    given = keras.Input((height, width, 3 if kind == "colours" else 1))
    if kind == "no maps":
        return keras.Model(given, layers.Dense(classes, "softmax")(layers.Flatten()(given)))
    maps = layers.Lambda(lambda values: values * 2)(given) if kind == "Lambda" else layers.Conv2D(2, 3)(given)
    pooled = layers.GlobalAveragePooling2D(name=None if kind == "other names" else "bottlenecks")(maps)
    answer = layers.Dense(classes, None if kind == "no probabilities" else "softmax", name="last_layer_0")(pooled)
    if kind == "two inputs":
        other = keras.Input((height, width, 1))
        return keras.Model([given, other], layers.Add()([answer, layers.GlobalAveragePooling2D()(other)]))
    return keras.Model(given, {"two outputs": [answer, answer], "maps": maps}.get(kind, answer))


FOREIGN = {
    **dict.fromkeys(
        ("other size", "other classes", "numbers", "colours", "two inputs", "two outputs", "maps"), "not a network of "
    ),
    "no probabilities": "no probabilities",
    "Sequential": "it is a Sequential model; the command that made the run makes it anew",
    "Lambda": "a Lambda layer holds a program of its own",
}  # fmt: skip


def pack_deep(content: bytes) -> bytes:
    """The same archive with a description that is nested without end."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, b'{"a":' + b"[" * 50_000 if name == "config.json" else old.read(name))
    return packed.getvalue()


DAMAGED = {
    "cut": lambda content: content[: len(content) // 2],
    "noise": lambda _content: b"\x00\xffabc" * 100,
    "empty": lambda _content: b"",
    "nested": pack_deep,
    "pickle": lambda _content: b"\x80\x04cposix\nsystem\n(S'touch /tmp/never'\ntR.",
}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_no_network_of_the_run_is_one_line(name, backend, tmp_path, capsys):
    tiny = write_tiny_run(name, tmp_path / "run")
    (cell,) = (tmp_path / "run" / "cells").iterdir()
    model, record = cell / "model.keras", cell / "cell.json"
    good, known = model.read_bytes(), json.loads(record.read_text())
    picture = save_picture(tmp_path / "a.png", draw_picture(name))

    def refuse(message: str) -> None:
        record.write_text(json.dumps(known | {"files": {"model.keras": hash_file(model)}}))
        assert tiny.ask(tmp_path / "out", picture) == 2
        said = capsys.readouterr()
        assert [line for line in said.err.splitlines() if line.startswith("error: ")] == said.err.splitlines()[-1:]
        assert message in said.err.splitlines()[-1]
        assert str(model) in said.err or message == "no probabilities"
        assert len(said.err.splitlines()[-1]) < 500
        assert "Traceback" not in said.err

    assert tiny.ask(tmp_path / "out", picture) == 0
    from keras.saving import load_model

    network = load_model(model)
    _, height, width, _ = network.input_shape
    named = {"other names": "not a network of "} if name == "glioma_inceptionv3" else {}  # whose layers are asked for by name
    if name in ("thyroid_ensemble", "ddsm_inceptionv4"):
        named = {"no maps": "no convolutional feature map, which Grad-CAM needs; the command that made the run makes it anew"}
    for kind, message in (FOREIGN | named).items():
        build_foreign(kind, height, width, network.output_shape[-1]).save(model)
        refuse(message)
    for damage in DAMAGED.values():
        model.write_bytes(damage(good))
        refuse("cannot be read by Keras")
    for text in ("[" * 100_000, "[]", "{}", '{"files": 3}'):
        record.write_text(text)
        assert tiny.ask(tmp_path / "out", picture) == 2
        assert "error: " in capsys.readouterr().err
