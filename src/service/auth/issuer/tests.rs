use super::*;
use crate::service::auth::jws;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use tokio::net::TcpListener;

const NOW: i64 = 1_700_000_000;

/// An issuer whose key server takes connections and never answers.
async fn hanging() -> (Arc<Issuer>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = IssuerSettings {
        issuer: "https://login.example.com/".into(),
        audience: "game".into(),
        jwks_url: format!("http://{}/keys", listener.local_addr().unwrap()),
        ..IssuerSettings::default()
    };
    (Arc::new(Issuer::new(settings)), listener)
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&rand::random::<[u8; 32]>()).unwrap()
}

fn knows(issuer: &Issuer, pair: &Ed25519KeyPair, fetched: Instant) {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(pair.public_key().as_ref()) });
    let set = vec![serde_json::from_value(key).unwrap()];
    *issuer.keys.lock().unwrap() = Arc::new(Keys { set, fetched: Some(fetched) });
}

fn token(issuer: &Issuer, pair: &Ed25519KeyPair, player: &str) -> String {
    let (iss, aud) = (&issuer.settings.issuer, &issuer.settings.audience);
    jws::sign(&json!({ "iss": iss, "aud": aud, "sub": player, "exp": NOW + 60 }), pair).unwrap()
}

/// Names a key that no set has.
fn strange(token: &str) -> String {
    let header = BASE64URL.encode(json!({ "alg": "EdDSA", "kid": "unknown" }).to_string());
    format!("{header}.{}", token.split_once('.').unwrap().1)
}

async fn verified(issuer: &Arc<Issuer>, token: &str) -> bool {
    issuer.verify(token, Timestamp::from_unix_millis(NOW * 1000).unwrap(), &[]).await.is_some()
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_stalls_nobody_while_keys_are_known() {
    let (issuer, listener) = hanging().await;
    let pair = pair();
    knows(&issuer, &pair, Instant::now());
    tokio::time::advance(issuer.settings.refresh.get()).await;
    let begun = Instant::now();
    for player in ["ann", "ann", "bob"] {
        assert!(verified(&issuer, &token(&issuer, &pair, player)).await);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "they waited for the issuer");
    let _asked = listener.accept().await.unwrap();
    // The fetch is under way: who names a key that nobody knows waits for a moment, everybody else
    // not at all.
    let stranger = strange(&token(&issuer, &pair, "eve"));
    let begun = Instant::now();
    let (stranger, ann) =
        tokio::join!(verified(&issuer, &stranger), async { verified(&issuer, &token(&issuer, &pair, "ann")).await });
    assert!(!stranger && ann);
    assert!(begun.elapsed() <= NEW_KEY_WAIT + Duration::from_millis(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_keys_all_wait_for_one_try_and_the_next_one_comes_after_the_gap() {
    let (issuer, listener) = hanging().await;
    let pair = pair();
    let token = token(&issuer, &pair, "ann");
    let begun = Instant::now();
    let callers = futures_util::future::join_all((0..6).map(|_| verified(&issuer, &token))).await;
    assert!(callers.iter().all(|good| !good));
    assert!(begun.elapsed() <= FETCH_TIMEOUT + Duration::from_millis(10), "{:?}", begun.elapsed());
    drop(issuer.fetching.lock().await);
    let tried = Instant::now();
    assert!(!verified(&issuer, &token).await);
    assert_eq!(tried.elapsed(), Duration::ZERO, "tried again without a gap");
    tokio::time::advance(FETCH_AGAIN).await;
    let _first = listener.accept().await.unwrap();
    assert!(!verified(&issuer, &token).await);
    assert!(tried.elapsed() > FETCH_AGAIN, "never tried again");
}

#[tokio::test(start_paused = true)]
async fn what_a_withdrawn_key_has_signed_is_not_remembered() {
    let (issuer, _listener) = hanging().await;
    let (old, new) = (pair(), pair());
    knows(&issuer, &old, Instant::now());
    let token = token(&issuer, &old, "ann");
    assert!(verified(&issuer, &token).await);
    knows(&issuer, &new, Instant::now());
    assert!(!verified(&issuer, &token).await);
}
