//! Templates, arguments, addresses.

use crate::core::{
    launch::{LaunchError, Values, WrittenBy, address, check, render},
    settings::Launch,
    testing::settings,
};
use crate::model::session::StartupParams;

fn launch(command: &[&str]) -> Launch {
    Launch { command: command.iter().map(|text| (*text).to_owned()).collect(), ..settings().launch }
}

fn argv(command: &[&str], params: &StartupParams) -> Result<Vec<String>, LaunchError> {
    let values = Values { name: "n", params: Some(params), written_by: WrittenBy::Us, ..Values::default() };
    render(&launch(command), &values).map(|spec| spec.argv)
}

/// With values that a player may have chosen; `allow` as the configuration has it.
fn of_others(command: &[&str], params: &StartupParams, allow: &[(&str, &str)]) -> Result<Vec<String>, LaunchError> {
    let allow = allow.iter().map(|(name, pattern)| ((*name).to_owned(), (*pattern).to_owned())).collect();
    let values = Values { name: "n", params: Some(params), written_by: WrittenBy::Others, ..Values::default() };
    render(&Launch { allow, ..launch(command) }, &values).map(|spec| spec.argv)
}

#[test]
fn what_players_may_say_on_a_command_line_goes_by_its_place() {
    type Row<'a> = (&'a [&'a str], StartupParams, &'a [(&'a str, &'a str)], Result<&'a str, &'a str>);
    let unreal: &[&str] = &["g", "{{map}}?Max=4{% if mode %}?game={{mode}}{% endif %}{{misc}}"];
    let quake: &[&str] =
        &["g", "+set", "mode", "{% if mode %}{{mode}}{% else %}0{% endif %}", "{{misc_args}}", "+map", "{{map}}"];
    let plain: &[&str] = &["g", "{{map}}", "-x={{custom.k}}"];
    let evil = "+set rconpassword owned +exec evil.cfg";
    let bots = ("misc", r"(\?Bots=\d+)?");
    let sets = ("misc_args", r"\+set bots \d");
    let rows: [Row<'_>; 16] = [
        (plain, params("/Game/Maps/Arena?listen", None, evil), &[], Ok("/Game/Maps/Arena?listen")),
        (plain, params("two words", None, ""), &[], Ok("two words")),
        (plain, params("-exec", None, ""), &[], Err("begins with `-`")),
        (plain, params("a\n-b", None, ""), &[], Err("control character")),
        (plain, params("../a", None, ""), &[], Err("`..`")),
        (plain, params("../a", None, ""), &[("map", r"\.\./a")], Ok("../a")),
        (plain, params("m", None, ""), &[("custom.k", "w")], Err("doesn't match its pattern")),
        (unreal, params("/Game/A", Some("ctf"), ""), &[], Ok("/Game/A?Max=4?game=ctf")),
        (unreal, params("/Game/A?listen", None, ""), &[], Err("holds `?`")),
        (unreal, params("/Game/A", Some("ctf?exec=x"), ""), &[], Err("holds `?`")),
        (unreal, params("/Game/A", None, "?Bots=4"), &[], Err("no pattern for misc")),
        (unreal, params("/Game/A", None, "?Bots=4"), &[bots], Ok("?Bots=4")),
        (unreal, params("/Game/A", None, "?Bots=4?x"), &[bots], Err("doesn't match its pattern")),
        (quake, params("oa_dm1", Some("0;set sv_cheats 1"), ""), &[], Err("holds `;`")),
        (quake, params("oa_dm1", None, evil), &[], Err("no pattern for misc_args")),
        (quake, params("oa_dm1", Some("4"), "+set bots 3"), &[sets], Ok("g +set mode 4 +set bots 3 +map oa_dm1")),
    ];
    for (command, params, allow, expected) in rows {
        match (of_others(command, &params, allow), expected) {
            (Ok(argv), Ok(part)) => assert!(argv.join(" ").contains(part), "{argv:?}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, _) => panic!("{params:?} {allow:?}: {got:?}"),
        }
        let ours = argv(command, &params);
        assert_eq!(ours.is_err(), params.map.contains('\n'), "what we wrote has no control character: {ours:?}");
    }
}

fn params(map: &str, mode: Option<&str>, misc: &str) -> StartupParams {
    let custom_data = [("k".to_owned(), "v".to_owned())].into();
    StartupParams { map: map.into(), mode: mode.map(Into::into), misc_params: misc.into(), custom_data }
}

#[test]
fn arguments_are_filled_in_dropped_and_split() {
    let unreal = "{{map}}{% if mode %}?game={{mode}}{% endif %}{{misc}}";
    assert_eq!(argv(&["g", unreal], &params("m", None, "")).unwrap(), ["g", "m"]);
    assert_eq!(argv(&["g", unreal], &params("m", Some("ctf"), "?a=1 2")).unwrap(), ["g", "m?game=ctf?a=1 2"]);
    let split = argv(&["g", "{{ misc_args }}", "-p={{ports.game}}"], &params("m", None, "+a 'b c'")).unwrap();
    assert_eq!(split, ["g", "+a", "b c", "-p=7777"]);
    assert_eq!(argv(&["g", "{{misc}}", "{{misc_args}}"], &params("m", None, "")).unwrap(), ["g"]);
    assert_eq!(argv(&["g", "{{custom.k}}"], &params("m", None, "")).unwrap(), ["g", "v"]);
}

#[test]
fn remote_values_are_only_ever_values() {
    let evil = "{{ports.game}}; rm -rf / $(id) \"";
    assert_eq!(argv(&["g", "{{map}}"], &params(evil, None, "")).unwrap(), ["g", evil]);
    assert_eq!(argv(&["g", "-{{misc}}"], &params("m", None, evil)).unwrap(), ["g".to_owned(), format!("-{evil}")]);
}

#[test]
fn what_is_missing_is_a_clear_error() {
    let error = argv(&["g", "+map", "{{map}}"], &params("", None, "")).unwrap_err().to_string();
    assert_eq!(
        error,
        "no map: neither the allocation nor the configuration names one, and argument 2 ({{map}}) uses it"
    );
    assert!(argv(&["g", "{{mode}}"], &params("m", None, "")).is_err());
    assert!(argv(&["g", "{{custom.other}}"], &params("m", None, "")).is_err());
    assert!(matches!(argv(&["g", "{{misc_args}}"], &params("m", None, "'open")), Err(LaunchError::Words { .. })));
    assert!(matches!(argv(&["{{misc}}"], &params("m", None, "")), Err(LaunchError::NoCommand)));
    let zero = argv(&["g", "{{misc_args}}"], &params("m", None, "-a\0")).unwrap_err().to_string();
    assert_eq!(zero, "argument 1 ({{misc_args}}) can't take the session's misc_args: it holds a control character");
    let place = "the variable GAMESIDE_MAP".to_owned();
    assert_eq!(argv(&["g"], &params("m\0", None, "")), Err(LaunchError::ZeroByte { place }), "every game gets it");
}

#[test]
fn check_finds_every_fault_without_an_allocation() {
    let fine = ["g", "{{map}}", "{{session_id}}{{custom.x}}", "{{ports.game}}", "{% if mode %}{{mode}}{% endif %}"];
    assert_eq!(check(&launch(&fine)), []);
    let faults = check(&launch(&["g", "{{ports.query}}", "{{mapp}}", "{% if %}"]));
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn addresses_take_both_spellings_and_bracket_ipv6() {
    let ports = [("game".to_owned(), 7777), ("query".to_owned(), 7778)].into();
    let rows = [
        ("unreal://{host}:{port}", "1.2.3.4", "unreal://1.2.3.4:7777"),
        ("unreal://{{host}}:{{port}}", "1.2.3.4", "unreal://1.2.3.4:7777"),
        ("{host}:{port}", "2001:db8::1", "[2001:db8::1]:7777"),
        ("{host}:{ports.query}", "host.example", "host.example:7778"),
    ];
    for (format, host, expected) in rows {
        assert_eq!(address(format, host, "game", &ports).unwrap(), expected);
    }
    assert!(address("{hots}", "h", "game", &ports).is_err());
}

#[test]
fn the_startup_file_and_the_environment_say_the_same() {
    let spec = render(
        &launch(&["g"]),
        &Values {
            name: "n",
            params: Some(&params("m", Some("ctf"), "x")),
            written_by: WrittenBy::Us,
            ..Values::default()
        },
    );
    let spec = spec.unwrap();
    assert_eq!(spec.env["GAMESIDE_MAP"], "m");
    assert_eq!(spec.env["GAMESIDE_PORT_GAME"], "7777");
    let file: serde_json::Value = serde_json::from_str(&spec.file.unwrap().text).unwrap();
    assert_eq!(file["startup_params"]["mode"], "ctf");
    assert_eq!(file["ports"]["game"], 7777);
    assert!(file.get("session_id").is_none());
}
