"""From predictions to metrics, verdicts and one judgement; without TensorFlow."""
