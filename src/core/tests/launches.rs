//! Templates, arguments, addresses.

use crate::core::{
    launch::{LaunchError, Values, address, check, render},
    settings::Launch,
    testing::settings,
};
use crate::model::session::StartupParams;

fn launch(command: &[&str]) -> Launch {
    Launch { command: command.iter().map(|text| (*text).to_owned()).collect(), ..settings().launch }
}

fn argv(command: &[&str], params: &StartupParams) -> Result<Vec<String>, LaunchError> {
    render(&launch(command), &Values { name: "n", params: Some(params), ..Values::default() }).map(|spec| spec.argv)
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
    let place = "argument 1".to_owned();
    assert_eq!(argv(&["g", "{{misc_args}}"], &params("m", None, "-a\0")), Err(LaunchError::ZeroByte { place }));
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
        &Values { name: "n", params: Some(&params("m", Some("ctf"), "x")), ..Values::default() },
    );
    let spec = spec.unwrap();
    assert_eq!(spec.env["GAMESIDE_MAP"], "m");
    assert_eq!(spec.env["GAMESIDE_PORT_GAME"], "7777");
    let file: serde_json::Value = serde_json::from_str(&spec.file.unwrap().text).unwrap();
    assert_eq!(file["startup_params"]["mode"], "ctf");
    assert_eq!(file["ports"]["game"], 7777);
    assert!(file.get("session_id").is_none());
}
