//! Sections of a configuration file, and what becomes of a changed key when a running process reads
//! its file again.
//!
//! [`section!`] stands beside the type of a section and gives every key its answer:
//!
//! | group | the key's new value |
//! |---|---|
//! | `applied` | is in force at once |
//! | `needs_restart` | waits for a new process; the running one keeps the old value |
//! | `sections` | is a section itself, which answers for its own keys |
//! | `command_line` | is no key of the file; the command line's value stays |
//!
//! The macro takes the type apart without `..`, so that a key without an answer does not compile. A
//! reload takes every value from one merged section: no part of a process sees the new value of a
//! key while another keeps the old one.

use crate::model::packed::Packed;
use serde::{Serialize, de::DeserializeOwned};

/// The type of a whole file.
pub trait File: DeserializeOwned + Default {
    /// Its JSON schema.
    const SCHEMA: Packed;
}

/// What becomes of a changed key when a running process reads its file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReload {
    Applied,
    NeedsRestart,
}

/// A section whose keys have their answers; made by [`section!`].
pub trait Section: Sized + PartialEq + Clone {
    /// `new`, with the keys that need a restart as `running` has them. Each key that differs is noted.
    fn reload(running: &Self, new: Self, changes: &mut Changes) -> Self;
    /// Every key with its answer, in the order of the macro.
    fn answers(answers: &mut Answers);
}

/// The keys that differ between the running configuration and one that was read, as paths: `game.stop.ladder`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    path: Vec<&'static str>,
    pub applied: Vec<String>,
    pub needs_restart: Vec<String>,
}

impl Changes {
    pub fn applied<T: PartialEq>(&mut self, key: &'static str, running: &T, new: T) -> T {
        if *running != new {
            self.applied.push(self.at(key));
        }
        new
    }

    #[expect(clippy::needless_pass_by_value, reason = "called like `applied`")]
    pub fn needs_restart<T: PartialEq + Clone>(&mut self, key: &'static str, running: &T, new: T) -> T {
        if *running != new {
            self.needs_restart.push(self.at(key));
        }
        running.clone()
    }

    pub fn section<T: Section>(&mut self, key: &'static str, running: &T, new: T) -> T {
        self.path.push(key);
        let merged = T::reload(running, new, self);
        self.path.pop();
        merged
    }

    fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// What reloading does with each key, by its path. A key of a section that is not listed answers as the section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    path: Vec<&'static str>,
    keys: Vec<(String, OnReload)>,
}

impl Answers {
    /// Those of a whole file.
    pub fn of<T: Section>() -> Self {
        let mut answers = Answers::default();
        T::answers(&mut answers);
        answers
    }

    pub fn key(&mut self, key: &'static str, on_reload: OnReload) {
        self.keys.push((join(&self.path, key), on_reload));
    }

    /// The keys of a section. `_field` only names its type.
    pub fn section<P, T: Section>(&mut self, key: &'static str, _field: fn(&P) -> &T) {
        self.path.push(key);
        T::answers(self);
        self.path.pop();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, OnReload)> {
        self.keys.iter().map(|(key, on_reload)| (key.as_str(), *on_reload))
    }

    /// The answer for a path: that of the key itself, or of the listed key that it lies below.
    pub fn at(&self, path: &str) -> Option<OnReload> {
        let below =
            |key: &str| path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.iter().find(|(key, _)| below(key)).map(|(_, on_reload)| on_reload)
    }
}

fn join(path: &[&str], key: &str) -> String {
    path.iter().chain([&key]).copied().collect::<Vec<_>>().join(".")
}

/// A section that may be absent. When it comes or goes, the whole of it needs what any of its keys needs.
impl<T: Section> Section for Option<T> {
    fn reload(running: &Self, new: Self, changes: &mut Changes) -> Self {
        match (running, new) {
            (Some(running), Some(new)) => Some(T::reload(running, new, changes)),
            (None, None) => None,
            (running, new) => {
                let path = changes.path.join(".");
                let applied = Answers::of::<T>().iter().all(|(_, on_reload)| on_reload == OnReload::Applied);
                if applied {
                    changes.applied.push(path);
                    new
                } else {
                    changes.needs_restart.push(path);
                    running.clone()
                }
            }
        }
    }

    fn answers(answers: &mut Answers) {
        T::answers(answers);
    }
}

/// Gives every key of a section its answer: `section!(Health { applied: fall, rise; })`. A key whose name in the file isn't
/// the field's is given it: `session_type = "type"`.
macro_rules! section {
    ($section:ident { $($group:ident: $($field:ident $(= $key:literal)?),+;)+ }) => {
        impl $crate::model::section::Section for $section {
            fn reload(running: &Self, new: Self, changes: &mut $crate::model::section::Changes) -> Self {
                let $section { $($($field,)+)+ } = new;
                $section { $($($field: $crate::model::section::section!(
                    @reload $group changes running $field $($key)?
                ),)+)+ }
            }
            fn answers(answers: &mut $crate::model::section::Answers) {
                $($($crate::model::section::section!(@answer $group answers $section $field $($key)?);)+)+
            }
        }
    };
    (@reload applied $changes:ident $running:ident $field:ident $($key:literal)?) => {
        $changes.applied($crate::model::section::section!(@key $field $($key)?), &$running.$field, $field)
    };
    (@reload needs_restart $changes:ident $running:ident $field:ident $($key:literal)?) => {
        $changes.needs_restart($crate::model::section::section!(@key $field $($key)?), &$running.$field, $field)
    };
    (@reload sections $changes:ident $running:ident $field:ident $($key:literal)?) => {
        $changes.section($crate::model::section::section!(@key $field $($key)?), &$running.$field, $field)
    };
    (@reload command_line $changes:ident $running:ident $field:ident) => {{
        let _ = $field;
        $running.$field.clone()
    }};
    (@answer applied $answers:ident $section:ident $field:ident $($key:literal)?) => {
        $answers.key(
            $crate::model::section::section!(@key $field $($key)?),
            $crate::model::section::OnReload::Applied,
        )
    };
    (@answer needs_restart $answers:ident $section:ident $field:ident $($key:literal)?) => {
        $answers.key(
            $crate::model::section::section!(@key $field $($key)?),
            $crate::model::section::OnReload::NeedsRestart,
        )
    };
    (@answer sections $answers:ident $section:ident $field:ident $($key:literal)?) => {
        $answers.section(
            $crate::model::section::section!(@key $field $($key)?),
            |section: &$section| &section.$field,
        )
    };
    (@answer command_line $answers:ident $section:ident $field:ident) => {};
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}
pub(crate) use section;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Default)]
    struct Outer {
        kind: u8,
        inner: Inner,
        maybe: Option<Inner>,
        secret: u8,
    }
    #[derive(Debug, Clone, PartialEq, Default)]
    struct Inner {
        live: u8,
        fixed: u8,
    }
    section!(Outer {
        applied: kind = "type";
        sections: inner, maybe;
        command_line: secret;
    });
    section!(Inner {
        applied: live;
        needs_restart: fixed;
    });

    #[test]
    fn each_key_is_applied_or_kept_as_its_answer_says() {
        let running = Outer { secret: 1, ..Outer::default() };
        let new = Outer { kind: 2, inner: Inner { live: 3, fixed: 4 }, maybe: Some(Inner::default()), secret: 9 };
        let mut changes = Changes::default();
        let merged = Outer::reload(&running, new, &mut changes);
        assert_eq!(merged, Outer { kind: 2, inner: Inner { live: 3, fixed: 0 }, maybe: None, secret: 1 });
        assert_eq!(changes.applied, ["type", "inner.live"]);
        assert_eq!(changes.needs_restart, ["inner.fixed", "maybe"]);
    }

    #[test]
    fn a_key_below_a_listed_one_answers_as_that() {
        let answers = Answers::of::<Outer>();
        assert_eq!(answers.at("inner.fixed"), Some(OnReload::NeedsRestart));
        assert_eq!(answers.at("inner.live[0].x"), Some(OnReload::Applied));
        assert_eq!(answers.at("inner.lively"), None);
    }
}
