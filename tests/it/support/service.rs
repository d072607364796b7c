//! The session service as a process of its own, and its API as a platform and as players use it.

use super::{
    http::{self, Answer},
    proc,
    world::{PATIENCE, World},
};
use base64::Engine as _;
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    process::Child,
    time::{Duration, Instant},
};

/// `gameside sessions --dev`, with credentials for agents and for the platform.
pub struct Service<'w> {
    world: &'w World,
    child: Option<Child>,
    port: u16,
    agents: (String, String),
    platform: (String, String),
    token: RefCell<Option<String>>,
    env: Vec<(String, String)>,
}

/// What a platform's own backend may do here: everything.
const PLATFORM: &str = "session:*";

impl<'w> Service<'w> {
    pub fn start(world: &'w World) -> Self {
        Self::start_with(world, "")
    }

    /// With a configuration of its own.
    pub fn start_with(world: &'w World, config: &str) -> Self {
        Self::start_with_env(world, config, &[])
    }

    /// And with variables of its own.
    pub fn start_with_env(world: &'w World, config: &str, env: &[(&str, &str)]) -> Self {
        // A port of its own from the start, so that it can come back on the same.
        let port = world.service_port();
        world.file("sessions.toml", config);
        let mut service = Service {
            world,
            child: None,
            port,
            agents: <_>::default(),
            platform: <_>::default(),
            token: <_>::default(),
            env: env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        service.agents = service.client("agents", &[]);
        service.platform = service.client("platform", &[PLATFORM]);
        service.up();
        service
    }

    fn state(&self) -> std::path::PathBuf {
        self.world.path().join("sessions")
    }

    fn clients(&self, words: &[&str]) -> String {
        let state = self.state();
        let args = ["sessions", "--state-dir", state.to_str().unwrap(), "client"];
        self.world.told(args.iter().chain(words))
    }

    /// Makes client credentials, or new ones; id and secret.
    fn client(&self, name: &str, permissions: &[&str]) -> (String, String) {
        let mut words = vec!["add", name];
        permissions.iter().for_each(|permission| words.extend(["--permission", permission]));
        let said = self.clients(&words);
        let text = |key: &str| {
            let line =
                said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}: {said}"));
            line.trim().to_owned()
        };
        let pair = (text("client_id"), text("client_secret"));
        let file = self.world.file(&format!("{name}.secret"), &pair.1);
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        pair
    }

    /// The agents' credentials are worth nothing any more.
    pub fn withdraw_agents(&self) {
        self.clients(&["remove", "agents"]);
    }
    /// Gives the agents other permissions than the usual ones.
    pub fn permit_agents(&mut self, permissions: &[&str]) {
        self.withdraw_agents();
        self.agents = self.client("agents", permissions);
    }
    /// They get new ones, in the file that they read.
    pub fn readmit_agents(&mut self) {
        self.agents = self.client("agents", &[]);
    }

    /// Starts it, or starts it again on the same port.
    pub fn up(&mut self) {
        assert!(self.child.is_none());
        let (log, state) = (self.world.log("sessions.log"), self.state());
        let listen = format!("127.0.0.1:{}", self.port);
        let config = self.world.path().join("sessions.toml");
        let mut command = self.world.gameside(["sessions", "--dev", "--listen", &listen]);
        command.arg("--state-dir").arg(state).arg("--config").arg(config);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let begun = Instant::now();
        while http::exchange("GET", &format!("{}/readyz", self.url()), &[], None).map_or(0, |answer| answer.status)
            != 200
        {
            // Whoever answers at its port instead is none of ours.
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the session service ended: {ended:?}");
            assert!(begun.elapsed() < PATIENCE, "the session service doesn't come up");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[allow(dead_code, reason = "for the measurements")]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the service is up").id()
    }
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The lines of an agent's configuration that name this service.
    pub fn agent_config(&self) -> String {
        self.agent_config_through(&self.url())
    }
    /// The same for one who finds the secret in `GAMESIDE_CLIENT_SECRET`.
    pub fn agent_config_by_env(&self) -> String {
        format!("[session]\nurl = \"{}\"\n[credentials]\nclient_id = \"{}\"\n", self.url(), self.agents.0)
    }
    /// The same through another address.
    pub fn agent_config_through(&self, url: &str) -> String {
        let secret = self.world.path().join("agents.secret");
        let id = &self.agents.0;
        format!("[session]\nurl = \"{url}\"\n[credentials]\nclient_id = \"{id}\"\nclient_secret_file = {secret:?}\n")
    }
    /// The same as environment, secret included.
    pub fn agent_env(&self) -> Vec<(String, String)> {
        let pairs = [
            ("GAMESIDE_SESSION__URL", self.url()),
            ("GAMESIDE_CREDENTIALS__CLIENT_ID", self.agents.0.clone()),
            ("GAMESIDE_CLIENT_SECRET", self.secret()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }
    /// Id and secret of the agents' client.
    pub fn agents(&self) -> (&str, &str) {
        (&self.agents.0, &self.agents.1)
    }
    /// For `GAMESIDE_CLIENT_SECRET`.
    pub fn secret(&self) -> String {
        self.agents.1.clone()
    }

    /// Logs in as the platform.
    pub fn platform_token(&self) -> String {
        let (id, secret) = &self.platform;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        let url = format!("{}/users/v1/login", self.url());
        let body = json!({"grant_type": "client_credentials", "include_refresh": true});
        let answer =
            http::exchange("POST", &url, &[("authorization", &format!("Basic {basic}"))], Some(&body)).unwrap();
        answer.ok()["access_token"].as_str().unwrap().to_owned()
    }

    /// Logs in as the player of that name; token and player UUID.
    pub fn player(&self, name: &str) -> (String, String) {
        let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x"), "include_refresh": true,
            "accept_eula": true, "accept_tos": true, "accept_privacy_policy": true});
        let said = http::exchange("POST", &format!("{}/users/v1/login", self.url()), &[], Some(&body)).unwrap().ok();
        let uuid = said["active_player_uuid"].as_str().unwrap_or_else(|| panic!("no player in {said}"));
        (said["access_token"].as_str().unwrap().to_owned(), uuid.to_owned())
    }

    /// Asks as the platform; `path` follows `/session`.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let token = self.token.borrow().clone().unwrap_or_else(|| self.platform_token());
        *self.token.borrow_mut() = Some(token.clone());
        self.call_as(&token, method, path, body)
    }
    pub fn call_as(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {token}");
        http::exchange(method, &format!("{}/session{path}", self.url()), &[("authorization", &bearer)], body).unwrap()
    }

    /// Makes a session of the default type; `settings` as in a PATCH. Its id.
    pub fn make_session(&self, settings: &Value) -> String {
        let body = json!({"session_type": "default", "region_id": "local", "client_version": "1.0.0",
            "client_settings": {"input": "gamepad", "platform": "Anon"}, "force_create": true, "settings": settings});
        self.call("POST", "/v1/session", Some(&body)).ok()["session_id"].as_str().unwrap().to_owned()
    }

    /// Asks for a dedicated server for a session.
    pub fn request_instance(&self, session: &str, params: &Value) -> Value {
        let body = json!({"host_type": "dedicated", "instance_startup_params": params});
        self.call("POST", &format!("/v1/session/{session}/instance"), Some(&body)).ok()
    }

    pub fn session(&self, id: &str) -> Value {
        self.call("GET", &format!("/v1/session/{id}?refresh_ttl=false"), None).ok()
    }

    /// Waits until a session is as wanted.
    #[track_caller]
    pub fn wait(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let session = self.session(id);
            if wanted(&session) {
                return session;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}; the session: {session:#}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn wait_join_status(&self, id: &str, wanted: &str) -> Value {
        self.wait(id, wanted, |session| session["instance"]["join_status"] == wanted)
    }

    /// Waits until the session's instance is closed, or the session gone.
    #[track_caller]
    pub fn wait_closed(&self, id: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.call("GET", &format!("/v1/session/{id}?refresh_ttl=false"), None);
            let instance = &answer.body["instance"];
            if answer.status == 404 || instance.is_null() || instance["join_status"] == "closed" {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "never closed: {}", answer.text);
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            proc::signal(child.id(), 9);
            let _ = child.wait();
        }
    }
}
