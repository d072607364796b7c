//! Paths to values: `game.stop.ladder[1].wait`, `custom_data.join_params."rh.Token"`.

use std::fmt::{self, Write as _};

/// A path from the file's root; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct KeyPath(Vec<Step>);

/// One step of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    Key(String),
    /// A position in a list, from 0.
    Index(usize),
}

impl KeyPath {
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
    /// The path to a key below this one.
    pub fn key(&self, key: &str) -> KeyPath {
        self.with(Step::Key(key.to_owned()))
    }
    /// The path to an element of this list.
    pub fn index(&self, index: usize) -> KeyPath {
        self.with(Step::Index(index))
    }
    /// The path without its last step.
    pub fn parent(&self) -> Option<KeyPath> {
        let (_, rest) = self.0.split_last()?;
        Some(KeyPath(rest.to_vec()))
    }
    /// This is `other`, or lies below it.
    pub fn is_within(&self, other: &KeyPath) -> bool {
        self.0.starts_with(&other.0)
    }
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a path as it is displayed.
    pub fn parse(text: &str) -> KeyPath {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, behind) = first_step(rest);
            steps.extend(step);
            rest = behind;
        }
        KeyPath(steps)
    }

    fn with(&self, step: Step) -> KeyPath {
        let mut steps = self.0.clone();
        steps.push(step);
        KeyPath(steps)
    }
}

fn first_step(text: &str) -> (Option<Step>, &str) {
    let rest = text.strip_prefix('.').unwrap_or(text);
    if let Some((quoted, behind)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return (Some(Step::Key(quoted.to_owned())), behind);
    }
    if let Some((index, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (index.parse().ok().map(Step::Index), behind);
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len()).max(usize::from(!rest.is_empty()));
    (Some(Step::Key(rest[..end].to_owned())), &rest[end..])
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if at > 0 {
                        f.write_char('.')?;
                    }
                    if is_bare(key) { f.write_str(key)? } else { write!(f, "\"{key}\"")? }
                }
            }
        }
        Ok(())
    }
}

/// TOML takes it without quotes.
pub(crate) fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_round_trip() {
        for text in ["", "game", "game.stop.ladder[1].wait", "custom_data.join_params.\"rh.Token\"", "regions[0]"] {
            assert_eq!(KeyPath::parse(text).to_string(), text);
        }
        assert_eq!(KeyPath::parse("a[1].b").steps().len(), 3);
    }

    #[test]
    fn a_path_lies_within_itself_and_its_parents() {
        let wait = KeyPath::parse("game.stop.ladder[1].wait");
        assert!(wait.is_within(&KeyPath::parse("game.stop")));
        assert!(wait.is_within(&wait));
        assert!(!wait.is_within(&KeyPath::parse("game.stop.ladder[0]")));
    }
}
