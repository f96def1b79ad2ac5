//! The wire of a CometBFT remote signer: SecretConnection, framing, messages, sign bytes.
