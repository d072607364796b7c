//! Every request as an asker would send it, and as an attacker would.

use super::{
    challenge::{Challenges, NO_CHALLENGE},
    rate::RateLimiter,
    wire::{MAX_PACKET, Query, Request},
    *,
};
use crate::{frontends::testing::status as playing, model::game::GamePlayer};

const INFO: &[u8] = b"\xff\xff\xff\xffTSource Engine Query\0";

fn settings() -> Settings {
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        name: "Arena 1".to_owned(),
        game: "Arena".to_owned(),
        folder: "arena".to_owned(),
        app_id: 480,
        keywords: "eu,fast".to_owned(),
        rules: BTreeMap::from([("league".to_owned(), "gold".to_owned())]),
        port: "game".to_owned(),
        rate: 500,
        rate_per_address: 20,
        challenge_lifetime: Duration::from_secs(30),
    }
}

fn responder() -> Responder {
    Responder::new(settings(), [7; 32])
}

fn now(seconds: u64) -> Instant {
    Instant(Duration::from_secs(seconds))
}

fn someone() -> SocketAddr {
    ([203, 0, 113, 7], 5000).into()
}

/// A server with so many players.
fn status(players: u32) -> Status {
    let known = (0..players).map(|n| GamePlayer { id: n.to_string(), name: Some(format!("player {n}")), team: None });
    Status { players: Some(players), players_known: known.collect(), mode: Some("duel".to_owned()), ..playing() }
}

fn ask(responder: &mut Responder, kind: &[u8], status: &Status) -> Vec<Vec<u8>> {
    let packet = |proof: u32| [kind, &proof.to_le_bytes()].concat();
    let challenge = responder.answer(&packet(NO_CHALLENGE), someone(), status, now(60)).remove(0);
    assert_eq!((challenge.len(), challenge[4]), (9, b'A'));
    let proof = u32::from_le_bytes(challenge[5..].try_into().unwrap());
    responder.answer(&packet(proof), someone(), status, now(61))
}

#[test]
fn info_says_what_the_server_is() {
    let answer = ask(&mut responder(), INFO, &status(2)).remove(0);
    let expected: Vec<u8> = [
        b"\xff\xff\xff\xffI\x11Arena 1\0oa_dm1\0arena\0Arena\0".as_slice(),
        &480u16.to_le_bytes(),
        &[2, 8, 0, b'd', b'l', 0, 0],
        b"0.0.0\0",
        &[0x80 | 0x20 | 0x01],
        &7777u16.to_le_bytes(),
        b"eu,fast\0",
        &480u64.to_le_bytes(),
    ]
    .concat();
    assert_eq!(answer, expected);
}

#[test]
fn players_and_rules_go_to_a_client_that_has_proved_its_address() {
    let mut responder = responder();
    let players = ask(&mut responder, b"\xff\xff\xff\xffU", &status(1)).remove(0);
    assert!(players.starts_with(b"\xff\xff\xff\xffD\x01\0player 0\0\0\0\0\0"), "{players:?}");
    let rules = ask(&mut responder, b"\xff\xff\xff\xffV", &status(1)).remove(0);
    assert_eq!(rules, b"\xff\xff\xff\xffE\x03\0joinable\x000\0league\0gold\0mode\0duel\0");
}

#[test]
fn no_answer_to_a_stranger_is_longer_than_its_request() {
    let mut responder = responder();
    let mut requests: Vec<Vec<u8>> = vec![INFO.to_vec(), b"\xff\xff\xff\xffW".to_vec(), b"\xff\xff\xff\xffi".to_vec()];
    for kind in [INFO, b"\xff\xff\xff\xffU", b"\xff\xff\xff\xffV"] {
        for proof in [&b""[..], b"\0\0\0\0", b"\xff\xff\xff\xff", b"abc", b"\x01\x02\x03\x04more"] {
            requests.push([kind, proof].concat());
        }
    }
    for (at, request) in requests.iter().enumerate() {
        let answers = responder.answer(request, someone(), &status(200), now(60 + at as u64));
        let length: usize = answers.iter().map(Vec::len).sum();
        assert!(length <= request.len(), "{request:?}: {length}");
    }
    assert!(
        responder.answer(b"\xff\xff\xff\xffU", someone(), &status(1), now(90)).is_empty(),
        "shorter than a challenge"
    );
}

#[test]
fn a_challenge_is_good_for_its_address_and_its_time() {
    let challenges = Challenges::new([1; 32], Duration::from_secs(30));
    let given = challenges.issue(someone(), now(59));
    assert!(challenges.is_valid(given, someone(), now(59)) && challenges.is_valid(given, someone(), now(61)));
    assert!(!challenges.is_valid(given, someone(), now(120)));
    for other in [SocketAddr::from(([203, 0, 113, 8], 5000)), SocketAddr::from(([203, 0, 113, 7], 5001))] {
        assert!(!challenges.is_valid(given, other, now(59)));
    }
    assert!(!Challenges::new([2; 32], Duration::from_secs(30)).is_valid(given, someone(), now(59)));
}

#[test]
fn a_client_that_asks_too_often_waits_and_takes_nothing_from_others() {
    let mut rates = RateLimiter::new(100, 5);
    let greedy = someone().ip();
    assert_eq!((0..50).filter(|_| rates.allow(greedy, now(10))).count(), 10, "a burst of two seconds");
    assert!(rates.allow(greedy, now(11)));
    let many = (0..4000u32).map(|n| IpAddrOf(n).ip()).filter(|ip| rates.allow(*ip, now(11))).count();
    assert!((180..=200).contains(&many), "{many}");
}

struct IpAddrOf(u32);
impl IpAddrOf {
    fn ip(&self) -> std::net::IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + self.0).into()
    }
}

#[test]
fn a_long_answer_comes_in_several_packets() {
    let parts = ask(&mut responder(), b"\xff\xff\xff\xffU", &status(200));
    assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= MAX_PACKET));
    let mut whole = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        assert_eq!(part[..4], [0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(part[4..8], parts[0][4..8]);
        assert_eq!((usize::from(part[8]), usize::from(part[9])), (parts.len(), number));
        whole.extend(&part[12..]);
    }
    assert!(whole.starts_with(b"\xff\xff\xff\xffD\xc8"));
    assert!(String::from_utf8_lossy(&whole).contains("player 199"));
}

#[test]
fn only_a_game_that_is_ready_is_shown() {
    let mut responder = responder();
    let mut hidden = status(0);
    hidden.game.ready = false;
    assert!(responder.answer(INFO, someone(), &hidden, now(60)).is_empty());
    let closing = Status { phase: PhaseName::Closing, ..status(0) };
    assert!(responder.answer(INFO, someone(), &closing, now(60)).is_empty());
    assert_eq!(responder.answer(INFO, someone(), &status(0), now(60)).len(), 1);
}

#[test]
fn noise_is_passed_over() {
    for noise in
        [&b""[..], b"\xff\xff\xff\xff", b"\xfe\xff\xff\xffT", b"\xff\xff\xff\xffTSource", b"GET / HTTP/1.1\r\n"]
    {
        assert_eq!(Request::parse(noise), None, "{noise:?}");
    }
    assert_eq!(Request::parse(INFO), Some(Request { query: Query::Info, challenge: None }));
}
