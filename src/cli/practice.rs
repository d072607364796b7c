//! `gameside practice`: a small game server to try everything with, and its players.

use crate::{
    model::units::{Size, Span},
    net::{Address, Client, client::TrustedServers},
    practice::{
        self, JoinOptions, ServeOptions, fault_injection,
        options::{self, CrashHow, Daemon, Faults, Readiness, Sigterm},
    },
};
use clap::{Args, Subcommand};
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    process::ExitCode,
};

/// Run a small game server to try everything with, or join one as a player.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Practice {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Join a practice server as a player, or with bots.
    Join(Join),
    /// A process that a server with --fork-helpers starts.
    #[command(hide = true)]
    Helper,
}

#[derive(Debug, Args)]
struct Serve {
    /// Address to listen on; `::` takes IPv4 too.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
    bind: IpAddr,
    /// UDP port; else GAMESIDE_PORT_GAME, else 7777.
    #[arg(long)]
    port: Option<u16>,
    /// What is played; else GAMESIDE_MAP, else harbour.
    #[arg(long)]
    map: Option<String>,
    /// How; else GAMESIDE_MODE, else duel.
    #[arg(long)]
    mode: Option<String>,
    /// More options as the session's misc_params say them: `?crash-after=5s?spam=100`; else GAMESIDE_MISC.
    #[arg(long, allow_hyphen_values = true)]
    misc: Option<String>,
    /// Places for players.
    #[arg(long, value_name = "PLACES", default_value_t = 16)]
    max_players: u16,
    /// Ticks per second while somebody plays.
    #[arg(long, value_name = "RATE", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tick: u32,
    /// A player who is silent for so long is gone.
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    player_timeout: Span,
    /// A match ends by itself after this time.
    #[arg(long, value_name = "SPAN")]
    match_time: Option<Span>,
    /// Players must bring this; else GAMESIDE_JOIN_TOKEN.
    #[arg(long)]
    join_token: Option<String>,
    /// Whoever knows this may send console commands over UDP; else GAMESIDE_PRACTICE_ADMIN.
    #[arg(long)]
    admin_password: Option<String>,
    /// The version that it reports.
    #[arg(long, value_name = "SEMVER")]
    report_version: Option<semver::Version>,
    /// Speak to no agent: a game without an SDK.
    #[arg(long)]
    no_sdk: bool,
    #[command(flatten, next_help_heading = "Misbehave")]
    faults: FaultArgs,
}

#[derive(Debug, Args)]
struct FaultArgs {
    /// Do nothing any more, after this time.
    #[arg(long, value_name = "SPAN")]
    hang_after: Option<Span>,
    /// Crash, after this time.
    #[arg(long, value_name = "SPAN")]
    crash_after: Option<Span>,
    /// panic, abort, segv, or an exit code.
    #[arg(long, value_name = "HOW", default_value = "abort")]
    crash_how: CrashHow,
    /// Go to the background.
    #[arg(long)]
    daemonise: bool,
    /// Take so much memory a second.
    #[arg(long, value_name = "SIZE")]
    leak: Option<Size>,
    /// Don't end on SIGTERM or when the agent says so.
    #[arg(long)]
    refuse_sigterm: bool,
    /// Start so many sleeping processes in sessions of their own.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fork_helpers: u32,
    /// Print so many lines a second.
    #[arg(long, value_name = "LINES")]
    spam: Option<u32>,
    /// Take this long until ready.
    #[arg(long, value_name = "SPAN")]
    start_delay: Option<Span>,
    /// Never get ready.
    #[arg(long)]
    never_ready: bool,
    /// End with this code before being ready.
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "1")]
    exit_during_start: Option<u8>,
    /// Reach only so many percent of the tick rate.
    #[arg(long, value_name = "PERCENT")]
    slow_ticks: Option<u32>,
}

#[derive(Debug, Args)]
struct Join {
    /// HOST:PORT, as a session's connection string says.
    server: String,
    /// What the player is called.
    #[arg(long, default_value = "player")]
    name: String,
    /// Player UUID; a random one if it isn't given.
    #[arg(long)]
    uuid: Option<uuid::Uuid>,
    /// The join token, if the server wants one.
    #[arg(long)]
    token: Option<String>,
    /// Leave after this time; else stay until Ctrl-C.
    #[arg(long = "for", value_name = "SPAN")]
    stay: Option<Span>,
    /// So many players with numbered names.
    #[arg(long, value_name = "N", default_value_t = 1)]
    bots: u32,
    /// Say this to everybody.
    #[arg(long)]
    say: Option<String>,
}

/// Runs it.
pub(crate) fn run(practice: Practice) -> ExitCode {
    match practice.what {
        None => practice::serve(practice.serve.options()),
        Some(What::Helper) => {
            fault_injection::helper();
            ExitCode::SUCCESS
        }
        Some(What::Join(join)) => match join.options() {
            Ok(options) => practice::join(&options),
            Err(why) => {
                complain!("failed to find the server {:?}: {why}", join.server);
                ExitCode::FAILURE
            }
        },
    }
}

impl Serve {
    fn options(self) -> ServeOptions {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let api = if self.no_sdk { None } else { api(&variable) };
        let text = |given: Option<String>, name: &str| given.filter(|text| !text.is_empty()).or_else(|| variable(name));
        let port = || variable("GAMESIDE_PORT_GAME")?.parse().ok();
        ServeOptions {
            bind: self.bind,
            port: self.port.or_else(port).unwrap_or(options::DEFAULT_PORT),
            map: text(self.map, "GAMESIDE_MAP").unwrap_or_else(|| options::DEFAULT_MAP.to_owned()),
            mode: text(self.mode, "GAMESIDE_MODE").unwrap_or_else(|| options::DEFAULT_MODE.to_owned()),
            misc: text(self.misc, "GAMESIDE_MISC").unwrap_or_default(),
            places: usize::from(self.max_players),
            tick_rate: self.tick,
            player_timeout: self.player_timeout.get(),
            match_time: self.match_time.map(Span::get),
            join_token: text(self.join_token, "GAMESIDE_JOIN_TOKEN"),
            admin_password: text(self.admin_password, "GAMESIDE_PRACTICE_ADMIN"),
            version: self.report_version,
            allocation: variable("GAMESIDE_ALLOCATION_ID").or_else(|| variable("GAMESIDE_SESSION_ID")),
            api,
            faults: self.faults.faults(),
        }
    }
}

/// The agent's API as the environment names it: the socket if there is one, else the port.
fn api(variable: &impl Fn(&str) -> Option<String>) -> Option<Client> {
    let token = variable("GAMESIDE_TOKEN")?;
    let socket = variable("GAMESIDE_SOCKET").map(|path| Address::Unix(path.into()));
    let port = || {
        let url = variable("GAMESIDE_API")?;
        let address = url.strip_prefix("http://").unwrap_or(&url).trim_end_matches('/');
        address.to_socket_addrs().ok()?.next().map(Address::Tcp)
    };
    // The agent may run as another user than its game.
    socket.or_else(port).map(|address| Client::new(address, Some(token.into()), TrustedServers::Anybody))
}

impl FaultArgs {
    fn faults(self) -> Faults {
        Faults {
            hang_after: self.hang_after.map(Span::get),
            crash_after: self.crash_after.map(Span::get),
            crash_how: self.crash_how,
            daemonise: if self.daemonise { Daemon::Yes } else { Daemon::No },
            leak: self.leak.map(|size| size.0),
            refuse_sigterm: if self.refuse_sigterm { Sigterm::Ignored } else { Sigterm::Obeyed },
            fork_helpers: self.fork_helpers,
            spam: self.spam,
            start_delay: self.start_delay.map(Span::get),
            never_ready: if self.never_ready { Readiness::Never } else { Readiness::Normal },
            exit_during_start: self.exit_during_start.map(i32::from),
            slow_ticks: self.slow_ticks,
        }
    }
}

impl Join {
    fn options(&self) -> io::Result<JoinOptions> {
        let mut addresses = self.server.to_socket_addrs()?;
        let server: SocketAddr = addresses.next().ok_or_else(|| io::Error::other("the name has no address"))?;
        Ok(JoinOptions {
            server,
            name: self.name.clone(),
            uuid: self.uuid,
            token: self.token.clone(),
            stay: self.stay.map(Span::get),
            count: self.bots,
            say: self.say.clone(),
        })
    }
}
