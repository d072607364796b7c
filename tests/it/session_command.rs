//! `gameside session … --json`: every command prints what the table of `docs/sessions-interface.md`
//! says, and no command is missing there.

use crate::support::{service::Service, world::World};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// The members that a command prints: always, and sometimes; of a list, of each of its items.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    list: bool,
    always: BTreeSet<String>,
    sometimes: BTreeSet<String>,
}

fn spans(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The table, by command.
fn documented() -> BTreeMap<String, Shape> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sessions-interface.md")).unwrap();
    let (_, section) = page.split_once("\n## For scripts\n").unwrap();
    let mut shapes = BTreeMap::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (commands, members) = row.split_once(" | ").unwrap();
        let (always, sometimes) = match members.split_once("; ") {
            Some((always, sometimes)) => (spans(always), spans(sometimes)),
            None if members.starts_with("if ") => (BTreeSet::new(), spans(members)),
            None => (spans(members), BTreeSet::new()),
        };
        let shape = Shape { list: members.starts_with("a list"), always, sometimes };
        shapes.extend(spans(&format!("`{commands}")).into_iter().map(|command| (command, shape.clone())));
    }
    shapes
}

struct Shell<'w> {
    world: &'w World,
    service: &'w Service<'w>,
    shapes: BTreeMap<String, Shape>,
    ran: RefCell<BTreeSet<String>>,
}

impl Shell<'_> {
    fn command(&self, who: &str, command: &str, args: &[&str]) -> Command {
        let url = self.service.url();
        let words = ["session", "--service", &url, "--as", who].into_iter().chain(command.split(' '));
        self.world.gameside(words.chain(args.iter().copied()))
    }

    /// What people see.
    fn text(&self, who: &str, command: &str, args: &[&str]) -> String {
        let output = self.command(who, command, args).output().unwrap();
        assert!(output.status.success(), "{command} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a script sees, which has the documented shape.
    fn json(&self, who: &str, command: &str, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let said = self.text(who, command, &args);
        assert_eq!(said.lines().count(), 1, "{said}");
        let value: Value = serde_json::from_str(&said).unwrap_or_else(|why| panic!("{command}: {why}: {said}"));
        self.check(command, &value);
        value
    }

    fn check(&self, command: &str, value: &Value) {
        let shape = self.shapes.get(command).unwrap_or_else(|| panic!("{command} is not in the table"));
        let items = if shape.list { value.as_array().unwrap().clone() } else { vec![value.clone()] };
        for item in items {
            let members: BTreeSet<String> = item.as_object().unwrap().keys().cloned().collect();
            assert!(shape.always.is_subset(&members), "{command}: {item} lacks some of {:?}", shape.always);
            let more: BTreeSet<_> = members.difference(&shape.always).cloned().collect();
            assert!(more.is_subset(&shape.sometimes), "{command}: {item} has more than {shape:?}");
        }
        self.ran.borrow_mut().insert(command.to_owned());
    }

    fn uuid(&self, who: &str) -> String {
        self.json(who, "whoami", &[])["player_uuid"].as_str().unwrap().to_owned()
    }
}

#[test]
fn every_command_prints_the_json_that_is_documented() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell { world: &world, service: &service, shapes: documented(), ran: RefCell::default() };
    let id = create_and_find(&shell);
    friends_and_presence(&shell, &id);
    invites_and_events(&shell, &id);
    play_and_end(&shell, &id);
    let documented: BTreeSet<String> = shell.shapes.keys().cloned().collect();
    assert_eq!(*shell.ran.borrow(), documented, "every row of the table was run");
    assert_eq!(
        commands(&world),
        documented.iter().filter_map(|row| row.split(' ').next()).map(str::to_owned).collect()
    );
}

#[test]
fn listing_restrictions_and_presence_are_said_when_a_session_is_created() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell { world: &world, service: &service, shapes: documented(), ran: RefCell::default() };
    let shown = |name: &str| shell.json("ada", "show", &[name])["session"].clone();
    let usual = shell.json("ada", "create", &["usual"])["session_id"].clone();
    assert_eq!(
        (shown("usual").get("browser"), shown("usual")["allow_sanctioned_players"].as_bool()),
        (None, Some(true))
    );
    assert_eq!(shell.json("ada", "presence", &[]), json!({}));
    let args = ["strict", "--policy", "invite", "--listed", "yes", "--sanctioned-players", "refuse", "--presence"];
    let strict = shell.json("ada", "create", &args)["session_id"].clone();
    assert!(shown("strict")["browser"].is_object());
    assert_eq!(shown("strict").get("allow_sanctioned_players"), None);
    assert_eq!(shell.json("ada", "presence", &[]), json!({ "session_id": strict }));
    let lenient =
        shell.json("ada", "create", &["lenient", "--policy", "invite", "--sanctioned-players", "allow"])["session_id"]
            .clone();
    assert_eq!(shown("lenient")["allow_sanctioned_players"], true);
    let found = |args: &[&str]| shell.json("bob", "find --ids", args)["session_ids"].clone();
    assert_eq!((found(&[]), found(&["--only-listed"])), (json!([usual, strict]), json!([strict])));
    shell.json("ada", "update", &["strict", "--listed", "no"]);
    shell.json("ada", "update", &["usual", "--new-members", "refuse"]);
    assert_eq!(found(&[]), json!([]), "neither could be joined by bob");
    assert_eq!(shell.json("ada", "find --ids", &["--only-taking-members"])["session_ids"], json!([strict, lenient]));
}

/// All that `gameside session --help` lists.
fn commands(world: &World) -> BTreeSet<String> {
    let help = world.told(["session", "--help"]);
    let section = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = section.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

fn create_and_find(shell: &Shell<'_>) -> String {
    let made = shell.json("ada", "create", &["match", "--policy", "public", "--set", "map=harbour"]);
    assert_eq!(made["name"], "match");
    let id = made["session_id"].as_str().unwrap().to_owned();
    assert_eq!(shell.json("bob", "find --ids", &["--where", "map=harbour"]), json!({"session_ids": [id]}));
    assert_eq!(shell.text("bob", "find --ids", &["--where", "map=harbour"]), format!("{id}\n"));
    let found = shell.json("bob", "find", &["--where", "map=harbour"]);
    assert_eq!(found[0]["session"]["custom_data"], json!({"map": "harbour"}));
    assert_eq!(found[0].get("name"), None, "bob has no name for it");
    let listed = shell.json("ada", "list", &[]);
    assert_eq!((&listed[0]["name"], &listed[0]["session"]["session_id"]), (&json!("match"), &json!(id)));
    let updated = shell.json("ada", "update", &["match", "--set", "level=4"]);
    assert_eq!(updated["session"]["custom_data"]["level"], "4");
    let joined = shell.json("bob", "join", &[&id, "--name", "with-ada"]);
    assert_eq!(joined["name"], "with-ada");
    let met = shell.json("zoe", "matchmake", &["found", "--where", "level=4"]);
    assert_eq!((&met["session_id"], &met["created"]), (&json!(id), &json!(false)));
    id
}

fn friends_and_presence(shell: &Shell<'_>, id: &str) {
    let (ada, bob) = (shell.uuid("ada"), shell.uuid("bob"));
    assert_eq!(shell.text("bob", "whoami", &[]), format!("{bob}\n"));
    let status = |value: Value| value[0]["status"].as_str().map(str::to_owned);
    assert_eq!(shell.json("bob", "friends", &[]), json!([]));
    assert_eq!(status(shell.json("bob", "friends add", &["ada"])).unwrap(), "asked");
    let asks = shell.json("ada", "friends", &[]);
    assert_eq!((&asks[0]["player_uuid"], &asks[0]["status"]), (&json!(bob), &json!("asks")));
    assert_eq!(status(shell.json("ada", "friends accept", &["bob"])).unwrap(), "friends");
    let table = shell.text("bob", "friends", &[]);
    assert!(table.starts_with("PLAYER") && table.contains(&format!("{ada}  friends")), "{table}");
    let nobody = shell.command("ada", "friends accept", &["eve"]).output().unwrap();
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && said.contains("has not asked for friendship"), "{said}");

    assert_eq!(shell.json("ada", "presence", &[]), json!({}));
    assert_eq!(shell.json("ada", "presence set", &["match"])["session_id"], id);
    assert_eq!(shell.json("bob", "presence of", &["ada"])["session_id"], id);
    assert_eq!(shell.json("ada", "presence clear", &[]), json!({}));
    assert_eq!(shell.text("ada", "presence", &[]), "no session is shown\n");
    assert_eq!(status(shell.json("ada", "friends remove", &["bob"])).unwrap(), "none");
}

fn invites_and_events(shell: &Shell<'_>, id: &str) {
    let said = shell.text("eve", "events", &["--after", "x", "-n", "1", "--json"]);
    let reset: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&reset["event"], &reset["reason"]), (&json!("reset"), &json!("retention")));
    assert_eq!(reset.as_object().unwrap().len(), 3, "{reset}");

    let eve = shell.uuid("eve");
    let invited = shell.json("ada", "invite", &["eve", "--session", "match"]);
    assert_eq!(invited, json!({"session_id": id, "invited": [eve]}));
    let after = reset["id"].as_str().unwrap();
    let told = shell.json("eve", "events", &["--after", after, "-n", "1"]);
    let invites = shell.json("eve", "invites", &[]);
    assert_eq!((&told["event"], &told["session_id"]), (&json!("OnSessionInviteReceived"), &json!(id)));
    assert_eq!((&told["invite_id"], &json!(id)), (&invites[0]["invite_id"], &invites[0]["session_id"]));
    let invite = invites[0]["invite_id"].as_str().unwrap();
    let table = shell.text("eve", "invites", &[]);
    assert_eq!(table.lines().nth(1).unwrap().split(' ').next(), Some(invite), "as the story reads it: {table}");
    assert_eq!(shell.json("eve", "reject", &[invite]), json!({"rejected": invite}));
    assert_eq!(shell.json("eve", "invites", &[]), json!([]));
}

fn play_and_end(shell: &Shell<'_>, id: &str) {
    let instance = format!("/v1/session/{id}/instance");
    shell.service.call("POST", &instance, Some(&json!({"instance_id": "i", "host_type": "preallocated"}))).ok();
    let address = "203.0.113.7:7777";
    let up = json!({"join_status": "joinable", "join_params": {"public_conn_str": address, "private_conn_str": ""}});
    shell.service.call("PATCH", &instance, Some(&up)).ok();
    let told = shell.json("bob", "connect-string", &["with-ada"]);
    assert_eq!(told, json!({"session_id": id, "connect_string": address}));
    assert_eq!(shell.text("bob", "connect-string", &["with-ada"]), format!("{address}\n"));
    assert_eq!(shell.json("bob", "show", &["with-ada"])["connect_string"], address);
    let shown = shell.text("bob", "show", &["with-ada"]);
    for line in ["joinable by   anyone".to_owned(), format!("connect to    {address}")] {
        assert!(shown.contains(&line), "{shown}");
    }
    let members = shell.json("ada", "members", &["match"]);
    assert_eq!(members["members"][0], json!({"player_uuid": shell.uuid("ada"), "team": 0, "status": "leader"}));
    assert_eq!(members["members"].as_array().unwrap().len(), 3);
    assert_eq!(shell.json("bob", "leave", &["with-ada"]), json!({"session_id": id, "done": "left"}));
    assert_eq!(shell.text("ada", "destroy", &["match"]), format!("destroyed session {id}\n"));
    shell.json("ada", "create", &["again"]);
    assert_eq!(shell.json("ada", "destroy", &["again"])["done"], "destroyed");
}
