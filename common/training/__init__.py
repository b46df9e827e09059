"""Networks and what they are fed with; the only room that may import Keras."""
