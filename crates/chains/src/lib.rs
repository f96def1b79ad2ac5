//! Pure codecs: the messages of a chain to signing intents.
