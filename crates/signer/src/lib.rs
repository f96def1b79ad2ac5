//! The signer: front doors, key backends, local watermark.
