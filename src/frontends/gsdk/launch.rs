//! The file that every flavour reads at its start, and the variables beside it.
//!
//! Values of maps are texts, maps are never null, and one key is written twice: two flavours know
//! only its misspelling.

use super::config::GsdkConfig;
use crate::{
    frontends::{
        launch::{self, LaunchContext, LaunchExtension},
        tokens::host_id,
    },
    model::{ordered::Ports, process::LaunchSpec},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The file's name, below the directory for the game's files.
pub(crate) const FILE: &str = "gsdk.json";

/// Everything but the id of the run.
#[derive(Debug)]
pub(crate) struct GsdkLaunch {
    path: PathBuf,
    config: Value,
    env: Vec<(&'static str, String)>,
}

impl GsdkLaunch {
    pub(crate) fn new(endpoint: SocketAddr, config: &GsdkConfig, context: &LaunchContext) -> Self {
        let facts = Facts::of(config, context);
        let env = facts.env(endpoint);
        GsdkLaunch { path: context.game_dir.join(FILE), config: facts.config(endpoint, config, context), env }
    }
}

impl LaunchExtension for GsdkLaunch {
    fn apply(&self, token: &SecretString, spec: &mut LaunchSpec) {
        let id = host_id(token).to_string();
        let mut config = self.config.clone();
        config["sessionHostId"] = id.clone().into();
        launch::default_variable(spec, "GSDK_CONFIG_FILE", self.path.display().to_string());
        launch::default_variable(spec, "SESSION_HOST_ID", id);
        for (key, text) in &self.env {
            launch::default_variable(spec, key, text);
        }
        launch::add_file(spec, &self.path, config.to_string());
    }

    fn set_ports(&mut self, ports: &Ports) {
        self.config["gamePorts"] = numbers(ports);
        self.config["gameServerConnectionInfo"]["gamePortsConfiguration"] = listening(ports);
    }
}

fn numbers(ports: &Ports) -> Value {
    ports.iter().map(|(name, port)| (name.clone(), Value::from(port.to_string()))).collect()
}

fn listening(ports: &Ports) -> Value {
    let each = ports
        .iter()
        .map(|(name, port)| json!({"name": name, "serverListeningPort": port, "clientConnectionPort": port}));
    each.collect()
}

/// What is both in the file and in variables.
struct Facts {
    title: String,
    build: String,
    region: String,
    machine: String,
    logs: String,
    shared: String,
    certificates: String,
    fqdn: String,
    ip: Ipv4Addr,
}

impl Facts {
    fn of(config: &GsdkConfig, context: &LaunchContext) -> Self {
        let hosts = || [&context.public, &context.private].into_iter().flatten();
        let logs = config.log_dir.clone().or_else(|| context.work_dir.as_ref().map(PathBuf::from));
        let logs = logs.unwrap_or_else(|| PathBuf::from("/tmp"));
        let or_logs = |dir: &Option<PathBuf>| text(dir.as_deref().unwrap_or(&logs));
        let build = config.build_id.as_ref().or(context.version.as_ref()).unwrap_or(&context.name);
        let named = context.public.as_ref().filter(|host| host.parse::<IpAddr>().is_err());
        Facts {
            title: config.title_id.clone(),
            build: build.clone(),
            region: context.region.clone().unwrap_or_else(|| "local".to_owned()),
            machine: context.hostname.clone(),
            logs: text(&logs),
            shared: or_logs(&config.shared_content_dir),
            certificates: or_logs(&config.certificate_dir),
            fqdn: named.unwrap_or(&context.hostname).clone(),
            ip: hosts().find_map(|host| host.parse().ok()).unwrap_or(Ipv4Addr::LOCALHOST),
        }
    }

    fn env(&self, endpoint: SocketAddr) -> Vec<(&'static str, String)> {
        vec![
            ("HEARTBEAT_ENDPOINT", endpoint.to_string()),
            ("GSDK_LOG_FOLDER", self.logs.clone()),
            ("PF_TITLE_ID", self.title.clone()),
            ("PF_BUILD_ID", self.build.clone()),
            ("PF_REGION", self.region.clone()),
            ("PF_VM_ID", self.machine.clone()),
            ("PF_SERVER_INSTANCE_NUMBER", "0".to_owned()),
            ("PF_SERVER_LOG_DIRECTORY", self.logs.clone()),
            ("CERTIFICATE_FOLDER", self.certificates.clone()),
            ("PF_SHARED_CONTENT_FOLDER", self.shared.clone()),
            ("PF_FQDN", self.fqdn.clone()),
            ("PUBLIC_IPV4_ADDRESS", self.ip.to_string()),
        ]
    }

    fn config(&self, endpoint: SocketAddr, config: &GsdkConfig, context: &LaunchContext) -> Value {
        json!({
            "heartbeatEndpoint": endpoint.to_string(),
            "titleId": self.title,
            "buildId": self.build,
            "region": self.region,
            "vmId": self.machine,
            // A number: the Go flavour can't read a text here.
            "serverInstanceNumber": 0,
            "logFolder": self.logs,
            "sharedContentFolder": self.shared,
            "certificateFolder": self.certificates,
            "gameCertificates": config.certificates,
            "buildMetadata": config.metadata,
            "gamePorts": numbers(&context.ports),
            "publicIpV4Address": self.ip.to_string(),
            "fullyQualifiedDomainName": self.fqdn,
            "gameServerConnectionInfo": {
                "publicIpV4Adress": self.ip.to_string(),
                "publicIpV4Address": self.ip.to_string(),
                "gamePortsConfiguration": listening(&context.ports),
            },
        })
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
