//! What somebody who mistyped a name probably meant.

/// Names that are less alike than this, from 0 to 1, are different words.
const ALIKE: f64 = 0.75;

/// The candidate that is most like `word`, if one is like it; candidates are in lower case.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, candidate), candidate))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant_and_nonsense_finds_nothing() {
        let keys = ["readiness", "restart", "recycle"];
        assert_eq!(nearest("redinness", keys).as_deref(), Some("readiness"));
        assert_eq!(nearest("xyz", keys), None);
    }
}
