//! What a match starts with, as `allocate` and `session create` take it from the command line.

use crate::model::session::StartupParams;

/// Options of their own; none given: whoever runs the game decides.
#[derive(Debug, clap::Args)]
pub(crate) struct Startup {
    /// The map to start with
    #[arg(long)]
    map: Option<String>,
    /// The mode to play, `{{mode}}` in the game's arguments
    #[arg(long)]
    mode: Option<String>,
    /// Raw text for the game, `{{misc}}` in its arguments
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    misc: String,
    /// A value for the game, `{{custom.KEY}}` in its arguments; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    custom: Vec<(String, String)>,
}

impl Startup {
    /// None where nothing was said. Without a map, that of the session or of the server's configuration is played.
    pub(crate) fn params(self) -> Option<StartupParams> {
        let Startup { map, mode, misc, custom } = self;
        let said = map.is_some() || mode.is_some() || !misc.is_empty() || !custom.is_empty();
        said.then(|| StartupParams {
            map: map.unwrap_or_default(),
            mode,
            misc_params: misc,
            custom_data: custom.into_iter().collect(),
        })
    }

    /// The same where a session's host must be told which map it is.
    pub(crate) fn params_with_map(self) -> Result<Option<StartupParams>, NoMap> {
        match self.params() {
            Some(params) if params.map.is_empty() => Err(NoMap),
            params => Ok(params),
        }
    }
}

/// Options that say something about a map that isn't named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("--mode, --misc and --custom go with a map: add --map")]
pub(crate) struct NoMap;

/// A text that is no `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE, found {0:?}")]
pub(crate) struct NoPair(String);

/// `KEY=VALUE`
pub(crate) fn key_value(text: &str) -> Result<(String, String), NoPair> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(NoPair(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        startup: Startup,
    }

    fn said(line: &str) -> Startup {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap().startup
    }

    #[test]
    fn a_value_for_the_game_needs_no_map() {
        let params = said("--custom bots=4 --mode duel").params().unwrap();
        assert_eq!((params.map.as_str(), params.mode.as_deref()), ("", Some("duel")));
        assert_eq!(params.custom_data["bots"], "4");
        assert_eq!(said("").params(), None);
    }

    #[test]
    fn a_sessions_server_is_told_its_map() {
        assert_eq!(said("--custom bots=4").params_with_map(), Err(NoMap));
        assert_eq!(said("--map dm1").params_with_map().unwrap().unwrap().map, "dm1");
        assert_eq!(said("").params_with_map(), Ok(None));
    }
}
