//! The units: their rating, and what happens under a real systemd.

use crate::support::{component, world};
use gameside::model::units::Span;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn unit(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

#[test]
fn agent_and_service_expose_little() {
    let Some(analyze) = component::program("systemd-analyze", "systemd") else { return };
    for name in ["gameside@.service", "gameside-sessions.service"] {
        let output = Command::new(&analyze)
            .args(["security", "--offline=yes", "--no-pager", "--threshold=20"])
            .arg(unit(name))
            .output()
            .unwrap();
        // It fails above the threshold, which it counts in tenths.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{name} is rated above 2.0:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[test]
fn the_keeper_knows_how_long_systemd_waits_for_it() {
    let text = std::fs::read_to_string(unit("gameside-keeper@.service")).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    let (command, stop) = (value("ExecStart"), value("TimeoutStopSec"));
    let words: Vec<_> = command.split(' ').collect();
    let told = words.windows(2).find(|pair| pair[0] == "--host-deadline").expect("it is told")[1];
    assert_eq!(told.parse::<Span>().unwrap(), stop.parse::<Span>().unwrap());
}

#[test]
fn for_want_of_memory_the_game_goes_before_us_and_no_cgroup_of_ours_whole() {
    for name in ["gameside@.service", "gameside-keeper@.service", "gameside-sessions.service"] {
        let text = std::fs::read_to_string(unit(name)).unwrap();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        assert!(value("OOMScoreAdjust").unwrap().parse::<i32>().unwrap() <= -800, "{name}");
        assert_eq!(value("ManagedOOMPreference"), Some("omit"), "{name}");
        if name.starts_with("gameside-keeper") {
            assert!(value("ExecStart").unwrap().contains("--oom-score-adj 0"), "the game has its own");
        }
    }
}

#[test]
fn needrestart_leaves_keepers_and_agents_alone() {
    let Some(perl) = component::program("perl", "perl") else { return };
    // As needrestart reads its conf.d and asks for each unit.
    let script = r#"
        use strict; our %nrconf = (override_rc => {});
        my $file = shift; my $text = do { local $/; open my $in, '<', $file or die $!; <$in> };
        eval $text; die $@ if $@;
        for my $rc (@ARGV) {
            for my $re (keys %{$nrconf{override_rc}}) { print "$rc\n" if $rc =~ /$re/ && !$nrconf{override_rc}->{$re}; }
        }"#;
    let names = ["gameside-keeper@arena.service", "gameside@eu-1.service", "gameside-sessions.service", "ssh.service"];
    let output = Command::new(perl).args(["-e", script]).arg(unit("needrestart-gameside.conf")).args(names).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "gameside-keeper@arena.service\ngameside@eu-1.service\n");
}

#[test]
fn every_user_that_a_unit_names_is_made() {
    let made = std::fs::read_to_string(unit("gameside.sysusers.conf")).unwrap();
    let made: Vec<&str> = made.lines().filter_map(|line| line.strip_prefix("u ")?.split(' ').next()).collect();
    let mut named = Vec::new();
    for name in ["gameside@.service", "gameside-keeper@.service", "gameside-sessions.service"] {
        let text = std::fs::read_to_string(unit(name)).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        named.extend(text.lines().filter_map(|line| line.strip_prefix("User=")).map(str::to_owned));
        let options = words.windows(2).filter(|pair| matches!(pair[0], "--user" | "--gateway-user"));
        named.extend(options.map(|pair| pair[1].to_owned()));
    }
    assert!(named.iter().any(|user| user == "gameside-gateway"), "{named:?}");
    assert!(named.iter().all(|user| made.contains(&user.as_str())), "{named:?}, but only {made:?}");
}

/// Runs a story of `tests/it/systemd.sh` in a systemd of its own.
fn story(name: &str) {
    let (Some(with_systemd), Some(_)) = (component::with_systemd(), component::program("jq", "jq")) else { return };
    let programs = Path::new(world::GAMESIDE).parent().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The games of two stories share the network, but not the directory in which agents reserve
    // ports from each other.
    let game = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port().min(u16::MAX - 9);
    let output = Command::new(with_systemd)
        .arg("--keep")
        .arg(programs)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/systemd.sh"))
        .arg(name)
        .env("GAMESIDE_PROGRAMS", programs)
        .env("GAMESIDE_TEST_PORT", port.to_string())
        .env("GAMESIDE_TEST_GAME_PORTS", format!("{game}-{}", game + 9))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(&format!("passed: {name}")), "{name}:\n{said}");
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                story(stringify!($name));
            }
        )*
    };
}

stories! {
    users_and_rights
    agent_killed
    streams_stay_open
    start_limit
    bad_configuration
    detached
    stopped
    restarted
    keeper_stopped
    reloaded
    watchdog
}
