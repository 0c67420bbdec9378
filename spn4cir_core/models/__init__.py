"""Pre-trained models that several rooms load: where their files are (`model_source.py`), text generation in this
process (`local_model.py`) or by a chat server (`chat_client.py`), sentence vectors, EfficientNet-Lite0.
"""
