//! The Kubernetes manifests: what must be true of them for a match to survive, read from the files
//! as they are.

use gameside::{
    internals::{agent::config as agent, keeper::config::KeeperMode},
    model::units::Span,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn kind<'d>(documents: &'d [Value], kind: &str) -> &'d Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn pod(documents: &[Value]) -> &Value {
    &kind(documents, "Deployment")["spec"]["template"]["spec"]
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The agent's configuration in the ConfigMap, as the agent would load it.
fn configuration(documents: &[Value], dir: &Path) -> agent::Loaded {
    let text = kind(documents, "ConfigMap")["data"]["gameside.toml"].as_str().unwrap();
    let file: PathBuf = dir.join("gameside.toml");
    std::fs::write(&file, text).unwrap();
    let env = [("GAMESIDE_CLIENT_SECRET".to_owned(), "from the secret".to_owned())];
    agent::load(Some(&file), env, agent::Overrides::default()).unwrap_or_else(|report| panic!("{report:?}"))
}

#[test]
fn the_configuration_in_both_shapes_is_sound_and_fits_the_pod() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["one-container.yaml", "one-container-two-users.yaml", "sidecar.yaml"] {
        let documents = documents(file);
        let config = configuration(&documents, dir.path()).config;
        let grace = pod(&documents)["terminationGracePeriodSeconds"].as_u64().unwrap();
        let ladder: u64 = config.game.stop.ladder.iter().map(|rung| rung.wait.get().as_secs()).sum();
        let drain = config.drain.deadline.get().as_secs();
        assert!(grace > drain + ladder + 2, "{file}: {grace} s are not above {drain} s and a ladder of {ladder} s");
        let game = pod(&documents)["containers"].as_array().unwrap().iter().find(|c| c["name"] == "game").unwrap();
        // Whoever gets the SIGTERM knows how long the pod waits: the keeper, or the agent as PID 1.
        let told = strings(&game["command"]).windows(2).find(|pair| pair[0] == "--host-deadline").map(|pair| pair[1]);
        let told = told.map(|span| span.parse::<Span>().unwrap()).or(config.drain.host_deadline);
        assert_eq!(told.expect("a host deadline").get().as_secs(), grace, "{file}");
        let port = u64::from(*config.game.ports["game"].range.ports().start());
        assert_eq!(game["ports"][0]["containerPort"], port, "{file}");
        assert_eq!(game["ports"][0]["protocol"], "UDP", "{file}");
    }
}

#[test]
fn no_container_has_more_rights_than_it_needs() {
    for file in ["one-container.yaml", "sidecar.yaml", "sessions.yaml"] {
        let documents = documents(file);
        for document in documents.iter().filter(|document| document["spec"]["template"].is_object()) {
            let pod = &document["spec"]["template"]["spec"];
            assert_eq!(pod["automountServiceAccountToken"], false, "{file}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{file}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{file}");
            let all =
                ["containers", "initContainers"].iter().flat_map(|list| pod[*list].as_array().into_iter().flatten());
            for container in all {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{file}: {container}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{file}: {container}");
                assert_eq!(strings(&context["capabilities"]["drop"]), ["ALL"], "{file}: {container}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{file}: {container}");
            }
        }
    }
}

#[test]
fn with_two_users_the_games_is_another_than_the_secrets() {
    let documents = documents("one-container-two-users.yaml");
    let pod = pod(&documents);
    let (game, config) = (&pod["containers"][0], configuration(&documents, tempfile::tempdir().unwrap().path()).config);
    assert_eq!((&pod["securityContext"]["runAsUser"], config.keeper.user.as_deref()), (&Value::from(0), Some("65533")));
    assert!(pod["securityContext"].get("fsGroup").is_none(), "it would let the group read the secret");
    let context = &game["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    let capabilities = &context["capabilities"];
    assert_eq!(strings(&capabilities["drop"]), ["ALL"]);
    assert_eq!(strings(&capabilities["add"]), ["SETUID", "SETGID", "KILL"]);
    let by_name =
        |list: &Value| list.as_array().unwrap().iter().find(|entry| entry["name"] == "secret").cloned().unwrap();
    let (volume, mount) = (by_name(&pod["volumes"]), by_name(&game["volumeMounts"]));
    assert_eq!(volume["secret"]["defaultMode"], 0o400, "its owner alone may read it");
    let file = config.credentials.client_secret_file.unwrap();
    assert!(file.starts_with(mount["mountPath"].as_str().unwrap()), "{}", file.display());
    let env = game["env"].as_array().unwrap();
    assert!(
        env.iter().all(|variable| variable.pointer("/valueFrom/secretKeyRef").is_none()),
        "no secret in the environment"
    );
}

#[test]
fn the_sidecar_is_native_and_meets_the_keeper_in_a_shared_volume() {
    let documents = documents("sidecar.yaml");
    let pod = pod(&documents);
    let (programs, agent, game) = (&pod["initContainers"][0], &pod["initContainers"][1], &pod["containers"][0]);
    assert_eq!(strings(&programs["args"]), ["install", "/programs"]);
    assert!(programs.get("restartPolicy").is_none(), "it ends before the others begin");
    assert_eq!(programs["volumeMounts"][0]["name"], game["volumeMounts"][1]["name"]);
    assert_eq!(game["volumeMounts"][1]["readOnly"], true, "the game can't replace its keeper");
    assert_eq!(agent["restartPolicy"], "Always", "without it, it would be no sidecar");
    assert!(
        agent.get("startupProbe").is_none(),
        "the game's container would wait for an agent that waits for the keeper"
    );
    assert!(game.get("livenessProbe").is_none(), "it would end a match");

    let directory = Path::new("/gameside/state/match");
    let mount = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().unwrap().clone();
        let found = mounts.iter().find(|mount| directory.starts_with(mount["mountPath"].as_str().unwrap())).cloned();
        found.expect("a volume with the state directory")["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(mount(agent), mount(game));
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount(game)).unwrap();
    assert!(volume["emptyDir"].is_object());

    assert_eq!(strings(&game["command"])[..3], ["/opt/gameside/gameside-keeper", "--dir", directory.to_str().unwrap()]);
    let env = agent["env"].as_array().unwrap();
    let root = env.iter().find(|env| env["name"] == "GAMESIDE_STATE_DIR").unwrap()["value"].as_str().unwrap();
    let name = strings(&agent["args"]).windows(2).find(|pair| pair[0] == "--name").unwrap()[1];
    assert_eq!(Path::new(root).join(name), directory);
    let config = configuration(&documents, tempfile::tempdir().unwrap().path()).config;
    assert_eq!(config.keeper.mode, KeeperMode::Connect);
}

#[test]
fn in_one_container_nothing_but_the_end_of_the_game_ends_the_match() {
    let documents = documents("one-container.yaml");
    let game = &pod(&documents)["containers"][0];
    assert_eq!(strings(&game["command"])[..2], ["/usr/bin/gameside", "run"], "gameside is PID 1");
    assert!(game.get("livenessProbe").is_none(), "it would end a match");
    let config = configuration(&documents, tempfile::tempdir().unwrap().path()).config;
    assert_eq!(config.keeper.mode, KeeperMode::Spawn);
}
