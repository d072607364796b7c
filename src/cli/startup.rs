//! What a match starts with, as `allocate` and `session create` take it from the command line.

use crate::model::session::StartupParams;

/// Options of their own; none given: whoever runs the game decides.
#[derive(Debug, clap::Args)]
pub struct Startup {
    /// The map to start with
    #[arg(long)]
    map: Option<String>,
    /// The mode to play, `{{mode}}` in the game's arguments
    #[arg(long, requires = "map")]
    mode: Option<String>,
    /// Raw text for the game, `{{misc}}` in its arguments
    #[arg(long, value_name = "TEXT", requires = "map", default_value = "", hide_default_value = true)]
    misc: String,
    /// A value for the game, `{{custom.KEY}}` in its arguments; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, requires = "map")]
    custom: Vec<(String, String)>,
}

impl Startup {
    /// None without a map: there is nothing to say then.
    pub fn params(self) -> Option<StartupParams> {
        let (mode, misc_params, custom_data) = (self.mode, self.misc, self.custom.into_iter().collect());
        self.map.map(|map| StartupParams { map, mode, misc_params, custom_data })
    }
}

/// `KEY=VALUE`
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("expected KEY=VALUE, found {text:?}")),
    }
}
