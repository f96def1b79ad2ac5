//! Ethereum: the history of keys, as validator clients hand it over.

pub mod interchange;
