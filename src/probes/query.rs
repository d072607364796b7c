//! A game query protocol, through `gamedig`.

/// Names that `[probe] protocol` takes, with what they are: protocols first, then games.
pub fn protocols() -> Vec<(&'static str, &'static str)> {
    unimplemented!("lands next")
}
