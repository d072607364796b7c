//! Access tokens of an external issuer, against a real HTTP server with its key set.

use crate::{
    support::{
        component,
        service::Service,
        world::{PATIENCE, World},
    },
    tls::Certificates,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

const ISSUER: &str = "https://login.example.com/";
const AUDIENCE: &str = "my-game";
const PLAYER: &str = "5f0c1b7e-93f4-4b5c-9c39-6f0a67c241aa";

/// The issuer's key set, as it is now.
struct KeyServer {
    address: SocketAddr,
    set: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    fn start(set: Value) -> Self {
        Self::start_with(set, None)
    }

    /// With this certificate over TLS.
    fn start_with(set: Value, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = KeyServer {
            address: listener.local_addr().unwrap(),
            set: Arc::new(Mutex::new(Some(set))),
            asked: Arc::default(),
        };
        let (set, asked) = (server.set.clone(), server.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                match &tls {
                    None => answer(stream, &set, &asked),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls.clone()).unwrap();
                        answer(StreamOwned::new(connection, stream), &set, &asked);
                    }
                }
            }
        });
        server
    }

    fn serve(&self, set: Option<Value>) {
        *self.set.lock().unwrap() = set;
    }

    fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }
}

/// Answers one request with the key set; nothing where none is read.
fn answer(stream: impl Read + Write, set: &Mutex<Option<Value>>, asked: &AtomicUsize) {
    let mut stream = BufReader::new(stream);
    if !stream.by_ref().lines().map_while(Result::ok).any(|line| line.is_empty()) {
        return;
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let (status, body) = match &*set.lock().unwrap() {
        Some(set) => ("200 OK", set.to_string()),
        None => ("500 Oops", String::new()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let stream = stream.get_mut();
    let _ = stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush());
}

/// What a server with this certificate works with.
fn tls(with: &Certificates) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&with.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&with.key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// A key pair of the issuer.
struct Key {
    pair: Pair,
    id: &'static str,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Key {
    fn ed25519(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&rand::random::<[u8; 32]>()).unwrap();
        Key { pair: Pair::Ed25519(pair), id }
    }

    fn p256(id: &'static str) -> Self {
        let random = ring::rand::SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
        Key { pair: Pair::P256(pair), id }
    }

    fn public(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL.encode(bytes);
        match &self.pair {
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()), "kid": self.id })
            }
            Pair::P256(pair) => {
                // One byte that says how the point is written, then the two numbers.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "kid": self.id })
            }
        }
    }

    /// A token with these claims, and nothing wrong with it otherwise.
    fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.id, claims)
    }

    fn sign_as(&self, id: &str, claims: &Value) -> String {
        let alg = match self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::P256(_) => "ES256",
        };
        self.sign_with(&json!({ "typ": "JWT", "alg": alg, "kid": id }), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| BASE64URL.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Pair::P256(pair) => {
                let random = ring::rand::SystemRandom::new();
                pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec()
            }
        };
        format!("{signed}.{}", BASE64URL.encode(signature))
    }
}

fn set(keys: &[&Key]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>() })
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": PLAYER, "exp": now() + 3600, "permissions": ["session:read-player:self"] })
}

/// Good claims but for one.
fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
        value => claims[key] = value,
    }
    claims
}

fn config(keys: &str) -> String {
    format!("[auth.issuer]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nalgorithms = [\"EdDSA\"]\n{keys}\n")
}

/// The status that a token gets; 200, or 403 with `auth_success: false`.
fn status(service: &Service<'_>, token: &str) -> u16 {
    let answer = service.call_as(token, "GET", "/v1/player/me/session", None);
    if answer.status == 403 {
        assert_eq!(answer.body["auth_success"], false, "{}", answer.text);
    }
    answer.status
}

/// Waits until a token is taken or refused, as wanted: keys are fetched again only now and then.
#[track_caller]
fn wait_status(service: &Service<'_>, token: &str, wanted: u16) {
    let begun = Instant::now();
    while status(service, token) != wanted {
        assert!(begun.elapsed() < PATIENCE, "never answered {wanted}");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

#[test]
fn an_issuers_players_are_let_in_and_nobody_else() {
    let world = World::new();
    let (key, other, unlisted) = (Key::ed25519("k1"), Key::ed25519("k1"), Key::p256("k2"));
    let server = KeyServer::start(set(&[&key, &unlisted]));
    let service = Service::start_with(&world, &config(&format!("jwks_url = {:?}", server.url())));

    assert_eq!(status(&service, &key.sign(&claims())), 200);
    assert_eq!(status(&service, &key.sign(&with("aud", json!(["else", AUDIENCE])))), 200, "one of several audiences");
    assert_eq!(status(&service, &key.sign(&with("exp", json!(now() - 5)))), 200, "clocks differ");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1, "the keys are kept");

    let refused = [
        ("another issuer", key.sign(&with("iss", json!("https://evil.example.com/")))),
        ("no issuer", key.sign(&with("iss", Value::Null))),
        ("another audience", key.sign(&with("aud", json!("your-game")))),
        ("no audience", key.sign(&with("aud", Value::Null))),
        ("expired", key.sign(&with("exp", json!(now() - 3600)))),
        ("no end", key.sign(&with("exp", Value::Null))),
        ("not yet good", key.sign(&with("nbf", json!(now() + 3600)))),
        ("no player", key.sign(&with("sub", Value::Null))),
        ("permissions that are none", key.sign(&with("permissions", json!(7)))),
        ("another key under that id", other.sign(&claims())),
        ("an unknown key", other.sign_as("k9", &claims())),
        ("an algorithm that isn't allowed", unlisted.sign(&claims())),
        ("signed with the public key as a shared secret", shared_secret(&key)),
        ("not signed", unsigned()),
        ("cut", key.sign(&claims())[..80].to_owned()),
        ("no token at all", "eyJ".to_owned()),
    ];
    for (what, token) in refused {
        assert_eq!(status(&service, &token), 403, "{what}");
    }
    let lacking = key.sign(&with("permissions", json!("session:read:self session:read:config")));
    let answer = service.call_as(&lacking, "GET", "/v1/player/me/session", None);
    assert_eq!((answer.status, &answer.body["auth_success"]), (403, &json!(true)), "{}", answer.text);
    let own = service.player("ada").0;
    assert_eq!(status(&service, &own), 200, "the service's own tokens are good as before");
}

/// HS256 over the public key's own bytes: good where a verifier lets the token choose the algorithm.
fn shared_secret(key: &Key) -> String {
    let public = serde_json::to_vec(&key.public()).unwrap();
    let part = |value: Value| BASE64URL.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT", "kid": key.id })), part(claims()));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public);
    format!("{signed}.{}", BASE64URL.encode(ring::hmac::sign(&secret, signed.as_bytes())))
}

fn unsigned() -> String {
    let part = |value: Value| BASE64URL.encode(value.to_string());
    format!("{}.{}.", part(json!({ "alg": "none", "typ": "JWT", "kid": "k1" })), part(claims()))
}

#[test]
fn keys_are_rotated_withdrawn_and_outlive_an_outage() {
    let world = World::new();
    let (old, new) = (Key::ed25519("old"), Key::ed25519("new"));
    let server = KeyServer::start(set(&[&old]));
    let service = Service::start_with(&world, &config(&format!("jwks_url = {:?}\nrefresh = \"1s\"", server.url())));
    let (by_old, by_new) = (old.sign(&claims()), new.sign(&claims()));
    assert_eq!(status(&service, &by_old), 200);
    assert_eq!(status(&service, &by_new), 403);

    server.serve(None);
    let asked = server.asked.load(Ordering::SeqCst);
    let begun = Instant::now();
    while server.asked.load(Ordering::SeqCst) == asked {
        assert_eq!(status(&service, &by_old), 200, "an outage of the issuer logs nobody out");
        assert!(begun.elapsed() < PATIENCE, "the keys are never looked at again");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    assert_eq!(status(&service, &by_old), 200);

    server.serve(Some(set(&[&old, &new])));
    wait_status(&service, &by_new, 200);
    assert_eq!(status(&service, &by_old), 200);
    server.serve(Some(set(&[&new])));
    wait_status(&service, &by_old, 403);
    assert_eq!(status(&service, &by_new), 200);
}

#[test]
fn keys_may_come_from_a_file_and_players_need_not_be_uuids() {
    let world = World::new();
    let key = Key::ed25519("k");
    let file = world.file("keys.json", &set(&[&key]).to_string());
    let service = Service::start_with(&world, &config(&format!("jwks_file = {file:?}")));
    let uuid = |name: &str| {
        let token = key.sign(&with("sub", json!(name)));
        let body = json!({"session_type": "default", "client_version": "1.0.0", "force_create": true,
            "client_settings": {"input": "gamepad", "platform": "Anon"}});
        let everything = key.sign(&json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": now() + 60 }));
        let made = service.call_as(&everything, "POST", "/v1/session", Some(&body)).ok();
        let session = service.session(made["session_id"].as_str().unwrap());
        assert_eq!(status(&service, &token), 200);
        session["teams"][0]["players"][0]["player_uuid"].as_str().unwrap().to_owned()
    };
    let ada = uuid("auth0|ada");
    assert_eq!(uuid("auth0|ada"), ada, "the same name is the same player");
    assert_ne!(uuid("auth0|bob"), ada);
    assert_eq!(uuid(PLAYER), PLAYER);
}

#[test]
fn the_issuers_certificate_must_come_from_the_configured_authority() {
    if component::program("openssl", "openssl").is_none() {
        return;
    }
    let world = World::new();
    let (good, other) = (Certificates::make(&world, "good"), Certificates::make(&world, "other"));
    let key = Key::ed25519("k");
    let server = KeyServer::start_with(set(&[&key]), Some(tls(&good)));
    let url = format!("https://{}/jwks.json", server.address);
    for (authority, expected) in [(&good.ca, 200), (&other.ca, 403)] {
        let service = Service::start_with(&world, &config(&format!("jwks_url = {url:?}\nca_file = {authority:?}")));
        assert_eq!(status(&service, &key.sign(&claims())), expected, "{authority:?}");
    }
}

#[test]
fn an_issuer_is_configured_whole_or_not_at_all() {
    let world = World::new();
    let rows = [
        ("issuer = \"x\"\njwks_url = \"https://x/\"", "auth.issuer.audience"),
        ("issuer = \"x\"\naudience = \"y\"", "auth.issuer.jwks_url"),
        ("issuer = \"x\"\naudience = \"y\"\njwks_url = \"http://example.com/keys\"", "auth.issuer.jwks_url"),
        ("issuer = \"x\"\naudience = \"y\"\njwks_file = \"/k\"\nalgorithms = []", "auth.issuer.algorithms"),
        ("issuer = \"x\"\naudience = \"y\"\njwks_file = \"/k\"\nalgorithms = [\"HS256\"]", "auth.issuer.algorithms"),
    ];
    for (lines, key) in rows {
        let file = world.file("sessions.toml", &format!("[auth.issuer]\n{lines}\n"));
        let output = world.ask(["check", "--service", "--config", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && said.contains(key), "{lines}: {said}");
    }
}
