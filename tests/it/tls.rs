//! TLS on the session service: served, trusted, replaced while it runs, and refused with a reason.

use crate::{
    service_bench::Bench,
    service_friends::{for_friends, joins, reading},
    support::{
        component, proc,
        world::{GAMESIDE, PATIENCE, World},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::Instant,
};

/// A certificate authority of its own, and a certificate for this machine from it.
pub struct Certificates {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Certificates {
    pub fn make(world: &World, name: &str) -> Self {
        Self::valid(world, name, 2)
    }

    /// Whose certificate is valid for so many days; below 0: until so long ago.
    fn valid(world: &World, name: &str, days: i32) -> Self {
        let dir = world.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("leaf.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
            .unwrap();
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&dir, &format!("req -x509 {curve} -days 2 -subj /CN={name} -keyout ca.key -out ca.pem"));
        openssl(&dir, &format!("req {curve} -subj /CN=localhost -keyout key.pem -out leaf.csr"));
        openssl(
            &dir,
            &format!(
                "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days {days} -extfile leaf.ext -out cert.pem"
            ),
        );
        Certificates { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }
}

/// A service that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the service with this certificate; its URL as it says it itself.
fn serve(world: &World, with: &Certificates) -> (Running, String) {
    let (log, state) = (world.log("tls.log"), world.path().join("sessions"));
    let mut command = world.gameside(["sessions", "--dev", "--listen", "127.0.0.1:0", "--state-dir"]);
    command.arg(state).arg("--tls-cert").arg(&with.cert).arg("--tls-key").arg(&with.key);
    let child = Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    let said = wait_logged(world, "session service: ");
    let line = said.lines().find_map(|line| line.strip_prefix("session service: ")).unwrap();
    (child, line.split(' ').next().unwrap().to_owned())
}

fn wait_logged(world: &World, wanted: &str) -> String {
    let begun = Instant::now();
    loop {
        let said = fs::read_to_string(world.path().join("logs/tls.log")).unwrap();
        if said.split_inclusive('\n').any(|line| line.contains(wanted) && line.ends_with('\n')) {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {wanted:?}: {said}");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

/// Makes a client of the service; the file with its secret.
fn add_client(world: &World, name: &str, more: &[&str]) -> PathBuf {
    let (state, secret) = (world.path().join("sessions"), world.path().join(format!("{name}.secret")));
    let mut command = vec!["sessions", "--state-dir", state.to_str().unwrap(), "client", "add", name];
    command.extend(["--secret-file", secret.to_str().unwrap()]);
    command.extend(more);
    world.told(command);
    secret
}

fn whoami(world: &World, url: &str, ca: Option<&Path>) -> Output {
    let mut command = world.gameside(["session", "whoami", "--as", "ada", "--connect-timeout", "1s", "--service", url]);
    command.args(ca.iter().flat_map(|ca| [Path::new("--ca-file"), ca]));
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn clients_and_agents_trust_a_given_authority_and_no_other_and_certificates_are_replaced_while_it_runs() {
    if component::program("openssl", "openssl").is_none() {
        return;
    }
    let world = World::new();
    let (first, second) = (Certificates::make(&world, "first"), Certificates::make(&world, "second"));
    let (service, url) = serve(&world, &first);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let output = whoami(&world, &url, Some(&first.ca));
    assert!(output.status.success(), "{}", stderr(&output));
    for ca in [None, Some(second.ca.as_path())] {
        let output = whoami(&world, &url, ca);
        assert_eq!(output.status.code(), Some(1), "{ca:?}");
        assert!(stderr(&output).contains("certificate"), "{}", stderr(&output));
    }
    let output = whoami(&world, &url.replace("https", "http"), None);
    assert_eq!(output.status.code(), Some(1), "no plain HTTP on that port: {}", stderr(&output));

    let secret = add_client(&world, "servers", &[]);
    let config = format!(
        "[session]\nurl = {url:?}\nca_file = {:?}\n[credentials]\nclient_id = \"servers\"\nclient_secret_file = {secret:?}\n",
        first.ca
    );
    let mut agent = world.agent("server", &config);
    agent.wait_join_status("joinable");
    agent.stop();

    // A pair that doesn't fit stays out of force; one that does is in force for the next
    // connection.
    fs::copy(&second.cert, &first.cert).unwrap();
    proc::signal(service.0.id(), 1);
    wait_logged(&world, "the TLS certificate stays as it was");
    assert!(whoami(&world, &url, Some(&first.ca)).status.success());
    fs::copy(&second.key, &first.key).unwrap();
    proc::signal(service.0.id(), 1);
    wait_logged(&world, "TLS certificate read again");
    assert!(whoami(&world, &url, Some(&second.ca)).status.success());
    assert_eq!(whoami(&world, &url, Some(&first.ca)).status.code(), Some(1));
}

#[test]
fn a_certificate_that_is_out_of_date_names_the_clock_and_its_end_is_a_metric() {
    if component::program("openssl", "openssl").is_none() {
        return;
    }
    let world = World::new();
    let over = Certificates::valid(&world, "over", -1);
    let (_service, url) = serve(&world, &over);
    let said = stderr(&whoami(&world, &url, Some(&over.ca)));
    assert!(said.contains("this machine's clock says"), "{said}");
    if component::program("curl", "curl").is_none() {
        return;
    }
    let asked = Command::new("curl").args(["--silent", "--insecure", &format!("{url}/metrics")]).output().unwrap();
    let metrics = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(metrics.contains("gameside_sessions_tls_certificate_expiry_timestamp_seconds "), "{metrics}");
}

/// Another service's friend graph: a player of whom it says that she has no friends, or of whom nobody knows.
#[tokio::test]
async fn the_friend_graphs_certificate_must_come_from_the_configured_authority() {
    if component::program("openssl", "openssl").is_none() {
        return;
    }
    let world = World::new();
    let (good, other) = (Certificates::make(&world, "good"), Certificates::make(&world, "other"));
    let (_graph, url) = serve(&world, &good);
    let secret = add_client(&world, "reader", &["--permission", "friend:friend_list:read:any"]);
    for (authority, outcome) in [(good.ca, "403 not_joinable"), (other.ca, "403 friends_unavailable")] {
        let mut settings = reading(&url, secret.clone());
        settings.friends.ca_file = Some(authority);
        let bench = Bench::start(settings).await;
        let [ann, bob] = bench.players(["ann", "bob"]).await;
        assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &bob).await, outcome);
    }
}

#[test]
fn files_that_cant_be_used_are_named_with_what_is_wrong() {
    if component::program("openssl", "openssl").is_none() {
        return;
    }
    let world = World::new();
    let (good, other) = (Certificates::make(&world, "good"), Certificates::make(&world, "other"));
    let empty = world.file("empty.pem", "");
    let broken = world.file("broken.pem", "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n");
    let missing = world.path().join("missing.pem");
    let rows = [
        (&missing, &good.key, "can't read the certificate in", "missing.pem"),
        (&good.cert, &missing, "can't read the private key in", "missing.pem"),
        (&empty, &good.key, "there is no certificate in", "empty.pem"),
        (&good.cert, &empty, "there is no private key in", "empty.pem"),
        (&broken, &good.key, "can't read the certificate in", "broken.pem"),
        (&good.cert, &other.key, "can't be used together", "key.pem"),
    ];
    for (cert, key, wanted, file) in rows {
        let mut command = world.gameside(["sessions", "--listen", "127.0.0.1:0", "--state-dir"]);
        command.arg(world.path().join("sessions")).arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted) && said.contains(file), "{said}");
    }
    let output = whoami(&world, "https://127.0.0.1:1", Some(&empty));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is no certificate in it"), "{}", stderr(&output));
}

/// In a network of its own, where nobody can reach it.
#[test]
fn a_listener_beyond_this_machine_without_tls_is_warned_of_and_no_other() {
    if component::program("openssl", "openssl").is_none() || component::program("unshare", "util-linux").is_none() {
        return;
    }
    let world = World::new();
    let made = Certificates::make(&world, "made");
    let tls = ["--tls-cert".into(), made.cert.into_os_string(), "--tls-key".into(), made.key.into_os_string()];
    let rows: [(&str, &[_], bool); 4] = [
        ("0.0.0.0:0", &[], true),
        ("127.0.0.1:0", &[], false),
        ("[::ffff:127.0.0.1]:0", &[], false),
        ("0.0.0.0:0", &tls, false),
    ];
    for (listen, more, warned) in rows {
        fs::write(world.path().join("logs/tls.log"), "").unwrap();
        let log = world.log("tls.log");
        let own_network = ["--user", "--map-root-user", "--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"];
        let mut command = world.command("unshare", own_network);
        command.args([GAMESIDE, "sessions", "--listen", listen, "--state-dir"]).arg(world.path().join("sessions"));
        let child = command.args(more).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let running = Running(child);
        let said = wait_logged(&world, "session service: ");
        assert_eq!(said.contains("pass in the clear"), warned, "{listen} {more:?}: {said}");
        drop(running);
    }
}
