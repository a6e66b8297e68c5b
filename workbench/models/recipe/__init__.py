"""The recipe of the shipped models: their text, tokenizer, training and card.

Run as `python -m workbench.models.recipe`.
"""
