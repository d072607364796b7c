//! `[game.stop.quit]` by a remote console: the game is asked to end before anything is done to it. A console that doesn't answer
//! costs only the time that the step was given; the ladder goes on.

use super::settings::BadSetup;
use crate::{
    config::agent::{
        AgentConfig,
        game::{Quit, QuitBy},
    },
    host::{files, secrets},
    probes::rcon::{self, Dialect},
};
use secrecy::SecretString;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::task::JoinSet;

/// The longest password file that is read, in bytes.
const LONGEST: u64 = 16 * 1024;

/// How the game's console is reached.
#[derive(Debug)]
pub struct ConsoleQuit {
    console: Option<Console>,
    running: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct Console {
    dialect: Dialect,
    /// Name of the console's port.
    port: String,
    at: SocketAddr,
    command: String,
    secret: secrets::Source,
    within: Duration,
}

impl ConsoleQuit {
    pub fn new(config: &AgentConfig, ports: &BTreeMap<String, u16>) -> Result<Self, BadSetup> {
        let quit = &config.game.stop.quit;
        let dialect = match quit.by {
            QuitBy::SourceRcon => Dialect::Source,
            QuitBy::MinecraftRcon => Dialect::Minecraft,
            QuitBy::Nothing | QuitBy::Sdk | QuitBy::Stdin => {
                return Ok(ConsoleQuit { console: None, running: JoinSet::new() });
            }
        };
        let name = quit.port.as_ref().unwrap_or(&config.addresses.port);
        let port = *ports.get(name).ok_or_else(|| BadSetup::no_port(name, ports))?;
        let secret = secrets::find(wanted(quit), |key| std::env::var(key).ok());
        let secret = secret.map_err(|source| BadSetup::NoRconPassword { source })?;
        let (at, command) = (SocketAddr::new(quit.host, port), quit.command.clone());
        let console = Console { dialect, port: name.clone(), at, command, secret, within: quit.wait.get() };
        Ok(ConsoleQuit { console: Some(console), running: JoinSet::new() })
    }

    /// From the next start on the game has these ports.
    pub fn set_ports(&mut self, ports: &BTreeMap<String, u16>) {
        if let Some(console) = &mut self.console
            && let Some(port) = ports.get(&console.port)
        {
            console.at.set_port(*port);
        }
    }

    /// Asks, in the background. Must be called within a tokio runtime.
    pub fn ask(&mut self) {
        while self.running.try_join_next().is_some() {}
        let Some(console) = self.console.clone().filter(|_| self.running.is_empty()) else { return };
        self.running.spawn(async move {
            match console.tell().await {
                Ok(()) => tracing::info!(at = %console.at, command = console.command, "the game was asked to quit"),
                Err(why) => tracing::warn!(why, "the game could not be asked to quit; the stop ladder goes on"),
            }
        });
    }
}

impl Console {
    async fn tell(&self) -> Result<(), String> {
        let password = match &self.secret {
            secrets::Source::Text(text) => text.clone(),
            secrets::Source::File(path) => {
                SecretString::from(files::read_text(path, LONGEST).map_err(|error| error.to_string())?)
            }
        };
        let told = rcon::send_command(self.dialect, self.at, &password, &self.command, self.within).await;
        told.map_err(|error| error.to_string())
    }
}

/// Where the console's password is looked for.
pub fn wanted(quit: &Quit) -> secrets::Wanted<'_> {
    secrets::Wanted {
        file: quit.password_file.as_deref(),
        credential: &quit.password_credential,
        variable: &quit.password_env,
    }
}
