//! Remote values in arguments: whatever map, mode and misc are, each stays inside the argument that
//! asked for it. Input: three lines.
#![no_main]

use gameside::{
    internals::core::{
        launch::{Values, render},
        settings::Launch,
    },
    model::{policy::Start, session::StartupParams},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let params = StartupParams { map: line(), mode: Some(line()), misc_params: line(), ..StartupParams::default() };
    let launch = Launch {
        start: Start::default(),
        command: ["game", "+map", "<{{map}}>", "<{{mode}}>", "<{{misc}}>", "end"].map(str::to_owned).to_vec(),
        env: [("SHOWN".to_owned(), "<{{map}}>".to_owned())].into(),
        dir: None,
        startup_file: "startup.json".to_owned(),
        forking: false,
        version: None,
        ports: [].into(),
        frontends: [].into(),
    };
    let values = Values { name: "fuzz", params: Some(&params), ..Values::default() };
    let Ok(spec) = render(&launch, &values) else {
        let missing = params.map.is_empty() || params.mode.as_deref() == Some("");
        assert!(missing || text.contains('\0'), "only a value that isn't there, or can't be given, may stop a launch");
        return;
    };
    assert!(!text.split('\n').take(3).any(|value| value.contains('\0')), "no program can be given a zero byte");
    let of = |value: &str| format!("<{value}>");
    let wanted = [
        "game".to_owned(),
        "+map".to_owned(),
        of(&params.map),
        of(params.mode.as_deref().unwrap_or_default()),
        of(&params.misc_params),
        "end".to_owned(),
    ];
    assert_eq!(spec.argv, wanted);
    assert_eq!(spec.env.get("SHOWN"), Some(&of(&params.map)));
    let file = spec.file.expect("a launch has a startup file");
    let told: serde_json::Value = serde_json::from_str(&file.text).expect("the startup file is JSON");
    assert!(told.is_object());
});
