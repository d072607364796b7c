//! `gameside sessions`: runs the session service, and makes credentials for it.

mod server;

use super::{
    error::{Failure, OrExit},
    exit::Exit,
    terminal,
};
use crate::{
    agent::local,
    config::service as file,
    host::{
        clock, files, notify,
        paths::Places,
        process,
        signals::{Caught, Signals},
        socket, telemetry,
    },
    model::{
        policy::LogFormat,
        section::{Changes, Section as _},
        units::Span,
    },
    net::tls::{BadTls, Tls},
    service::{
        Listeners, Reload, Service, ServiceSettings,
        auth::clients::{Clients, Rotation},
        config_import, openapi,
    },
};
use std::{
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};

/// How often a changed certificate is looked for; a renewal needs no signal.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(60);

/// Where the service listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8787";
/// How long the local service stays when nobody uses it.
const IDLE_EXIT: Span = Span::from_secs(900);
/// How long the secret before stays good when a client gets a new one.
const OVERLAP: Span = Span::from_secs(86_400);

/// Run the session service, or make credentials for it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub what: Option<SessionsCommand>,
    /// Where to listen; may be given more than once [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<SocketAddr>,
    /// A unix socket to listen on as well
    #[arg(long, value_name = "PATH")]
    pub listen_unix: Option<PathBuf>,
    /// Serve TLS with this certificate chain (PEM); SIGHUP reads it again
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "local")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The service's configuration (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Accept any name:password as a player. For a developer's machine
    #[arg(long)]
    pub dev: bool,
    /// Be this user's local service: elected, loopback only, with a random secret, gone when unused
    #[arg(long)]
    pub local: bool,
    /// With --local: go when nobody has used the service for this long
    #[arg(long, value_name = "SPAN", requires = "local", default_value_t = IDLE_EXIT)]
    pub idle_exit: Span,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum SessionsCommand {
    /// Client credentials
    #[command(subcommand)]
    Client(ClientCommand),
    /// Registered servers of a running service
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Print the OpenAPI document of the service
    Openapi,
    /// Print session types, regions, templates, profiles and deserter rules as JSON of the API
    ///
    /// Of the configuration that stands before it: gameside sessions --config FILE export
    Export,
    /// Print the configuration (TOML) with such JSON in place of its own
    ///
    /// gameside sessions --config OLD import FILE > NEW. What has no counterpart in FILE stays as OLD has it
    Import {
        /// A document as `export` prints it, or with fewer members; `-` reads it from standard input
        file: PathBuf,
    },
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum ClientCommand {
    /// Make credentials and print them once; a client of that name is replaced, its secret and tokens end
    Add {
        /// What the client is called, in logs and in the list
        name: String,
        /// What the client may do; may be given more than once. Without: what a dedicated server needs
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// Write the secret into this file, for its owner alone, instead of printing it
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Give a client a new secret and print it once; the one before stays good for a while
    Rotate {
        /// The client, as `list` shows it
        name: String,
        /// How long the secret before stays good
        #[arg(long, value_name = "SPAN", default_value_t = OVERLAP)]
        overlap: Span,
        /// End the secret before and all tokens of the client at once
        #[arg(long, conflicts_with = "overlap")]
        revoke: bool,
        /// Write the secret into this file, for its owner alone, instead of printing it
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Withdraw a client's credentials
    Remove {
        /// The client, as `list` shows it
        name: String,
    },
    /// List the clients
    List,
}

/// Carries the subcommand out. `state_dir`: the service's own directory.
#[allow(clippy::needless_pass_by_value, reason = "like every other command")]
pub(crate) fn run(args: SessionsArgs, state_dir: Option<PathBuf>) -> ExitCode {
    match dispatch(&args, state_dir) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            complain!("gameside: {}", terminal::escape_lines(&failure.to_string()));
            failure.exit.into()
        }
    }
}

fn dispatch(args: &SessionsArgs, state_dir: Option<PathBuf>) -> Result<(), Failure> {
    let places = Places::here(None)?;
    let dir = state_dir.unwrap_or_else(|| places.sessions());
    match args.what.clone() {
        Some(SessionsCommand::Client(command)) => client(command, &dir),
        Some(SessionsCommand::Server(command)) => server::run(command, &places),
        Some(SessionsCommand::Openapi) => {
            say_part!("{}", openapi::DOCUMENT.text());
            Ok(())
        }
        Some(SessionsCommand::Export) => export(args),
        Some(SessionsCommand::Import { file }) => import(args, &file),
        None => serve(args, &dir, &places),
    }
}

fn client(command: ClientCommand, dir: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let clients = Clients::at(dir);
    match command {
        ClientCommand::Add { name, permissions, secret_file } => {
            if name.is_empty() || name.contains(':') || name.chars().count() > 128 {
                return Err(Failure::new(Exit::Usage, "a client's name has 1 to 128 characters and no colon"));
            }
            let permissions = (!permissions.is_empty()).then_some(permissions);
            let secret = clients.add(&name, permissions, clock::wall())?;
            show_secret(&name, &secret, secret_file)?;
        }
        ClientCommand::Rotate { name, overlap, revoke, secret_file } => {
            let rotation = if revoke { Rotation::Revoke } else { Rotation::Overlap(overlap.get()) };
            let secret = clients.rotate(&name, rotation, clock::wall())?.ok_or_else(|| no_client(&name))?;
            show_secret(&name, &secret, secret_file)?;
        }
        ClientCommand::Remove { name } => {
            if !clients.remove(&name)? {
                return Err(no_client(&name));
            }
        }
        ClientCommand::List => {
            for (name, client) in clients.read()? {
                let permissions = client.permissions.map_or_else(|| "(as a server)".to_owned(), |all| all.join(" "));
                say!("{name}\t{}\t{permissions}", client.created);
            }
        }
    }
    Ok(())
}

fn no_client(name: &str) -> Failure {
    Failure::new(Exit::Failed, format!("there is no client {name:?}"))
}

fn show_secret(name: &str, secret: &str, file: Option<PathBuf>) -> Result<(), Failure> {
    match file {
        None => say!("client_id     {name}\nclient_secret {secret}\n\nThe secret is not kept; write it down now."),
        Some(file) => {
            let file = std::path::absolute(file)?;
            files::write(&file, secret.as_bytes(), 0o600)?;
            say!("client_id     {name}\nclient_secret in {}", file.display());
        }
    }
    Ok(())
}

fn export(args: &SessionsArgs) -> Result<(), Failure> {
    say!("{:#}", config_import::export(&load(args)?));
    Ok(())
}

fn import(args: &SessionsArgs, path: &Path) -> Result<(), Failure> {
    let unread = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("could not read the document {}: {why}", path.display()))
    };
    let text =
        if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let document = serde_json::from_str(&text.map_err(|why| unread(&why))?).map_err(|why| unread(&why))?;
    let mut settings = load(args)?;
    let ignored = config_import::import(&mut settings, &document).map_err(|why| unread(&why))?;
    for member in ignored {
        complain!("gameside: ignored, the service has no use for it: {}", terminal::escape_lines(&member));
    }
    if let Some((key, expected)) = settings.faults().first() {
        return Err(unread(&format!("{key}: expected {expected}")));
    }
    say_part!("{}", toml::to_string(&settings).map_err(|why| unread(&why))?);
    Ok(())
}

fn serve(args: &SessionsArgs, dir: &Path, places: &Places) -> Result<(), Failure> {
    telemetry::start(LogFormat::Auto, std::env::var("GAMESIDE_LOG").ok().as_deref()).or_exit(Exit::Usage)?;
    process::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut settings = load(args)?;
        let Some((mut listeners, _elected)) = listen(args, dir, places, &mut settings)? else {
            say!("a local session service runs already");
            return Ok(());
        };
        listeners.tls = tls(args)?;
        warn_if_public(&listeners);
        let served_tls = listeners.tls.clone();
        let running = settings.clone();
        let service = Service::open(settings, dir)?;
        let reload = service.reload_handle();
        let idle = service.idle();
        // Before anybody is told that it serves: who hears that may ask for a reload at once.
        let signals = Signals::listen()?;
        let idle_exit = args.local.then(|| args.idle_exit.get());
        let until = async {
            tokio::select! {
                () = signalled(signals, args, running, &reload, served_tls.as_deref()) => {}
                () = async { match idle_exit { Some(span) => idle.wait(span).await, None => std::future::pending().await } } => {
                    tracing::info!("the local session service ends: nobody has used it for a while");
                }
            }
            notify::stopping("ending");
        };
        announce(&listeners, dir);
        let fed = tokio::spawn(feed_watchdog(reload.clone()));
        let served = service.run(listeners, until).await;
        fed.abort();
        Ok(served?)
    })
}

fn load(args: &SessionsArgs) -> Result<ServiceSettings, Failure> {
    let env = std::env::vars();
    let (mut settings, _) = file::load(args.config.as_deref(), env, ServiceSettings::faults).or_exit(Exit::Usage)?;
    settings.auth.dev = args.dev;
    Ok(settings)
}

/// Binds everything. None: another local service was elected.
fn listen(
    args: &SessionsArgs,
    dir: &Path,
    places: &Places,
    settings: &mut ServiceSettings,
) -> Result<Option<(Listeners, Option<local::Elected>)>, Failure> {
    let mut listeners = Listeners::default();
    let mut elected = None;
    if args.local {
        if let Some(address) = args.listen.iter().find(|address| !address.ip().is_loopback()) {
            return Err(Failure::new(Exit::Usage, format!("--local listens on loopback only, not on {address}")));
        }
        let Some(won) = local::elect(places, dir, args.listen.first().copied())? else { return Ok(None) };
        listeners.tcp.push(TcpListener::from_std(won.tcp.try_clone()?)?);
        listeners.unix.push(UnixListener::from_std(won.unix.try_clone()?)?);
        settings.auth.local_secret = Some(places.sessions_secret());
        elected = Some(won);
    } else {
        let default = [LISTEN.parse::<SocketAddr>()?];
        let addresses = if args.listen.is_empty() { &default[..] } else { &args.listen };
        for address in addresses {
            let socket = std::net::TcpListener::bind(address)
                .map_err(|why| Failure::new(Exit::Failed, format!("could not listen on {address}: {why}")))?;
            socket.set_nonblocking(true)?;
            listeners.tcp.push(TcpListener::from_std(socket)?);
        }
    }
    if let Some(path) = &args.listen_unix {
        let socket = socket::listen(path, None)
            .map_err(|why| Failure::new(Exit::Failed, format!("could not listen on {}: {why}", path.display())))?;
        listeners.unix.push(UnixListener::from_std(socket)?);
    }
    Ok(Some((listeners, elected)))
}

/// The certificate, if TLS is wanted.
fn tls(args: &SessionsArgs) -> Result<Option<Arc<Tls>>, Failure> {
    let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    if files::readable_by_others(key) == Some(true) {
        tracing::warn!(key = %key.display(), "others on this machine can read the TLS key: chmod go-r it");
    }
    Tls::load(cert, key).map(Arc::new).map(Some).or_exit(Exit::Usage)
}

fn warn_if_public(listeners: &Listeners) {
    if listeners.tls.is_some() {
        return;
    }
    for address in listeners.tcp.iter().filter_map(|listener| listener.local_addr().ok()) {
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(%address, "credentials and tokens pass in the clear here: use --tls-cert and --tls-key, or put a TLS proxy in front");
        }
    }
}

/// Says where the service is, for people and for whoever waits for it.
fn announce(listeners: &Listeners, dir: &Path) {
    let scheme = if listeners.tls.is_some() { "https" } else { "http" };
    let urls: Vec<String> = listeners
        .tcp
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .map(|address| format!("{scheme}://{address}"))
        .collect();
    // Where it goes to a file on a full disk, the service is no worse for it.
    let _ = writeln!(std::io::stdout(), "session service: {} (state in {})", urls.join(", "), dir.display());
    notify::ready(&format!("serving on {}", urls.join(", ")));
}

/// Reads the configuration again and puts it in force. Says what has changed.
fn read_again(args: &SessionsArgs, running: &mut ServiceSettings, reload: &Reload) -> Result<String, Failure> {
    let mut changes = Changes::default();
    let settings = ServiceSettings::reload(running, load(args)?, &mut changes);
    reload.apply(settings.clone())?;
    *running = settings;
    let rows = [("applied", changes.applied), ("needs a restart", changes.needs_restart)];
    let said: Vec<_> = rows
        .into_iter()
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(word, keys)| format!("{word}: {}", keys.join(", ")))
        .collect();
    Ok(if said.is_empty() { "nothing has changed".to_owned() } else { said.join("; ") })
}

/// Ends with TERM or INT; HUP reads the configuration again.
async fn signalled(
    mut signals: Signals,
    args: &SessionsArgs,
    mut running: ServiceSettings,
    reload: &Reload,
    tls: Option<&Tls>,
) {
    loop {
        let caught = tokio::select! {
            caught = signals.next() => caught,
            () = tokio::time::sleep(LOOK_AT_CERTIFICATE), if tls.is_some() => {
                certificate_read(tls.map_or(Ok(false), Tls::reload_if_changed));
                continue;
            }
        };
        match caught {
            Caught::Terminate | Caught::Interrupt => return,
            Caught::Reload => {
                notify::reloading();
                match read_again(args, &mut running, reload) {
                    Ok(changes) => tracing::info!("configuration read again; {changes}"),
                    Err(why) => tracing::error!(%why, "the configuration stays as it was"),
                }
                certificate_read(tls.map_or(Ok(false), |tls| tls.reload().map(|()| true)));
                notify::ready("serving");
            }
        }
    }
}

fn certificate_read(again: Result<bool, BadTls>) {
    match again {
        Ok(false) => {}
        Ok(true) => tracing::info!("TLS certificate read again"),
        Err(why) => tracing::error!(%why, "the TLS certificate stays as it was"),
    }
}

/// Feeds systemd's watchdog, and only after an operation has gone through the service.
async fn feed_watchdog(reload: Reload) {
    let Some(every) = notify::watchdog_interval() else { return };
    loop {
        tokio::time::sleep(every.max(Duration::from_millis(100))).await;
        reload.prove_alive();
        notify::watchdog();
    }
}
