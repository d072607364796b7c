//! What a session may say on a game's command line.
//!
//! Map, mode, raw parameters and custom data of a session may be a player's choice. So each is
//! checked by where it goes ([`fits`]), unless the configuration's `allow` has a pattern for it:
//! then it has to match that, whole. `misc` and `misc_args`, which are raw text, need such a
//! pattern in a command. Of values that the configuration or an operator wrote, only control
//! characters are refused; what is empty always passes.

use crate::model::{
    session::StartupParams,
    startup::{Destination, Unfit, fits},
};
use regex::Regex;
use std::collections::BTreeMap;

/// Who chose the startup values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WrittenBy {
    /// The configuration, or an operator.
    Us,
    /// Whoever asked the session service for an instance.
    #[default]
    Others,
}

/// Why a value isn't taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitValue {
    #[error("it holds a control character")]
    Control,
    #[error("{0}; [game.allow] can say what it may be")]
    Unfit(#[from] Unfit),
    #[error("raw parameters are passed on only as [game.allow] says, and it has no pattern for {0}")]
    Raw(String),
    #[error("it doesn't match its pattern in [game.allow], {0}")]
    NoMatch(String),
}

/// What kind of text a value goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Argument,
    /// An argument after one that begins with `+`.
    Console,
    Variable,
}

/// What a session says, and what is demanded of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartupValues<'a> {
    pub(super) params: Option<&'a StartupParams>,
    pub(super) written_by: WrittenBy,
    pub(super) allow: &'a BTreeMap<String, String>,
}

impl StartupValues<'_> {
    /// Whether those of these names that the session gives a value may go into a text that came to `filled`.
    pub(super) fn fit<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        filled: &str,
        shape: Shape,
    ) -> Result<(), (String, UnfitValue)> {
        for name in names {
            for (name, value) in self.named(name) {
                self.one(&name, value, filled, shape).map_err(|why| (name, why))?;
            }
        }
        Ok(())
    }

    fn one(&self, name: &str, value: &str, filled: &str, shape: Shape) -> Result<(), UnfitValue> {
        fits(value, Destination::Data).map_err(|_| UnfitValue::Control)?;
        if value.is_empty() || self.written_by == WrittenBy::Us {
            return Ok(());
        }
        if let Some(pattern) = self.allow.get(name) {
            return if matches_whole(pattern, value) { Ok(()) } else { Err(UnfitValue::NoMatch(pattern.clone())) };
        }
        let raw = matches!(name, "misc" | "misc_args");
        match shape {
            Shape::Variable => {}
            Shape::Argument | Shape::Console if raw => return Err(UnfitValue::Raw(name.to_owned())),
            Shape::Argument | Shape::Console => {
                fits(value, if filled == value { Destination::Argument } else { Destination::Part })?;
                if shape == Shape::Console {
                    fits(value, Destination::Console)?;
                }
            }
        }
        Ok(())
    }

    /// The values that a name of a template stands for, and their names in `allow`.
    fn named(&self, name: &str) -> Vec<(String, &str)> {
        let Some(params) = self.params else { return Vec::new() };
        let value = match name.split('.').next() {
            Some("map") => Some(params.map.as_str()),
            Some("mode") => params.mode.as_deref(),
            Some("misc" | "misc_args") => Some(params.misc_params.as_str()),
            Some("custom") => {
                let wanted = name.strip_prefix("custom.").filter(|key| params.custom_data.contains_key(*key));
                let each = params.custom_data.iter().filter(|(key, _)| wanted.is_none_or(|wanted| wanted == *key));
                return each.map(|(key, value)| (format!("custom.{key}"), value.as_str())).collect();
            }
            Some(_) | None => None,
        };
        value.map(|value| (name.to_owned(), value)).into_iter().collect()
    }
}

/// A pattern that isn't one matches nothing; the configuration's check has said so.
fn matches_whole(pattern: &str, value: &str) -> bool {
    whole(pattern).is_ok_and(|pattern| pattern.is_match(value))
}

/// A pattern of `[game.allow]`, which a value has to match from its beginning to its end.
pub(crate) fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}
