//! Remote values in arguments: whatever map, mode and misc are, each stays inside the argument that
//! asked for it. Input: three lines.
#![no_main]

use gameside::{
    internals::core::{
        launch::{Values, WrittenBy, render},
        settings::Launch,
    },
    model::{
        policy::{Reuse, Start},
        session::StartupParams,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let params = StartupParams { map: line(), mode: Some(line()), misc_params: line(), ..StartupParams::default() };
    let launch = Launch {
        start: Start::default(),
        reuse: Reuse::default(),
        command: ["game", "+map", "<{{map}}>", "<{{mode}}>", "<{{misc}}>", "end"].map(str::to_owned).to_vec(),
        env: [("SHOWN".to_owned(), "<{{map}}>".to_owned())].into(),
        allow: [].into(),
        dir: None,
        startup_file: "startup.json".to_owned(),
        forking: false,
        version: None,
        ports: [].into(),
        frontends: [].into(),
    };
    let values = Values { name: "fuzz", params: Some(&params), written_by: WrittenBy::Us, ..Values::default() };
    // What others wrote is refused more often, and comes to the same where it isn't.
    let of_others = render(&launch, &Values { written_by: WrittenBy::Others, ..values });
    let Ok(spec) = render(&launch, &values) else {
        let missing = params.map.is_empty() || params.mode.as_deref() == Some("");
        assert!(
            missing || text.contains(char::is_control),
            "only a value that isn't there, or can't be given, may stop a launch"
        );
        assert!(of_others.is_err());
        return;
    };
    assert!(of_others.is_err() || of_others == Ok(spec.clone()));
    assert!(
        !text.split('\n').take(3).any(|value| value.contains(char::is_control)),
        "no control character is passed on"
    );
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
