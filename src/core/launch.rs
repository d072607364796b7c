//! From templates and values to what the keeper starts.
//!
//! | value | is | when it is unset |
//! |---|---|---|
//! | `map` | the map | undefined |
//! | `mode` | the mode | undefined: `{% if mode %}?game={{mode}}{% endif %}` leaves nothing |
//! | `misc` | raw text, in one argument | empty |
//! | `misc_args` | the same, split as words, where it is a whole argument | no argument |
//! | `ports.NAME`, `host`, `region`, `name`, `startup_file` | of this agent | undefined |
//! | `session_id`, `instance_id`, `allocation_id`, `join_token`, `custom.KEY` | of the allocation | undefined |
//!
//! Printing what is undefined is an error, found before anything is spawned. A remote value is only
//! ever a value: never a template, never a shell word. An argument that renders to nothing is
//! dropped. What a session's value may hold depends on where it goes: see [`startup_values`].

mod startup_values;

use super::settings::{Launch, Settings};
use crate::model::{
    ids::{AllocationId, InstanceId, SessionId},
    ordered::Ports,
    policy::Reuse,
    process::{LaunchFile, LaunchSpec},
    session::StartupParams,
};
use minijinja::{Environment, UndefinedBehavior, Value};
pub use startup_values::WrittenBy;
use startup_values::{Shape, StartupValues};
pub(crate) use startup_values::{UnfitValue, whole};
use std::collections::BTreeMap;

/// The variables in which every game is given the startup values.
const STARTUP_VARIABLES: [&str; 3] = ["GAMESIDE_MAP", "GAMESIDE_MODE", "GAMESIDE_MISC"];

/// Why a game can't be started as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error("failed to fill in {place}: {why}")]
    Template { place: String, why: String },
    #[error("no map: neither the allocation nor the configuration names one, and {place} uses it")]
    NoMap { place: String },
    #[error("failed to split misc_params into words for {place}: {why}")]
    Words { place: String, why: String },
    #[error("{place} can't take the session's {name}: {why}")]
    Unfit { place: String, name: String, why: UnfitValue },
    #[error("{place} would hold a zero byte, which no program can be given")]
    ZeroByte { place: String },
    #[error("the command is empty")]
    NoCommand,
}

/// What a launch is filled in with, beside what the agent is configured with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    pub name: &'a str,
    pub host: Option<&'a str>,
    pub region: Option<&'a str>,
    pub params: Option<&'a StartupParams>,
    pub session: Option<&'a SessionId>,
    pub instance: Option<&'a InstanceId>,
    pub allocation: Option<&'a AllocationId>,
    pub join_token: Option<&'a str>,
    /// Whose values `params` are.
    pub written_by: WrittenBy,
}

/// Fills everything in.
pub fn render(launch: &Launch, values: &Values<'_>) -> Result<LaunchSpec, LaunchError> {
    let filler = Filler::new(launch, values);
    let mut argv = Vec::with_capacity(launch.command.len());
    let mut console = false;
    for (index, text) in launch.command.iter().enumerate() {
        let place = format!("argument {index} ({text})");
        for word in filler.argument(&place, text)? {
            filler.fits(&place, text, &word, if console { Shape::Console } else { Shape::Argument })?;
            argv.push(word);
        }
        // What follows belongs to a command of the engine's console, as in `+map {{map}}`.
        console |= text.starts_with('+');
    }
    if argv.is_empty() {
        return Err(LaunchError::NoCommand);
    }
    let mut env = launch.frontends.clone();
    env.extend(given_env(launch, values));
    for (key, text) in &launch.env {
        let place = format!("the variable {key}");
        let filled = filler.fill(&place, text)?;
        filler.fits(&place, text, &filled, Shape::Variable)?;
        env.insert(key.clone(), filled);
    }
    let dir = launch.dir.as_deref().map(|dir| filler.fill("the working directory", dir)).transpose()?;
    if let (Some(text), Some(filled)) = (&launch.dir, &dir) {
        filler.fits("the working directory", text, filled, Shape::Argument)?;
    }
    let file = LaunchFile { path: launch.startup_file.clone(), text: startup_json(launch, values) };
    let spec = LaunchSpec { argv, env, dir, file: Some(file), files: Vec::new(), forking: launch.forking };
    match zero_byte(&spec) {
        Some(place) => Err(LaunchError::ZeroByte { place }),
        None => Ok(spec),
    }
}

/// What the agent's own configuration gives.
pub(crate) fn own_values(settings: &Settings) -> Values<'_> {
    let addresses = &settings.addresses;
    Values {
        name: &settings.name,
        host: addresses.public.as_deref().or(addresses.private.as_deref()),
        region: settings.session.region.as_deref(),
        ..Values::default()
    }
}

/// Whether a launch with these values would do, once its session, its instance and its allocation have
/// their ids (and the match its join token, where it gets one).
pub(crate) fn check_params(launch: &Launch, values: &Values<'_>, join_token: bool) -> Result<(), LaunchError> {
    let text = "to-come";
    let (session, instance, allocation) = (text.parse().ok(), text.parse().ok(), text.parse().ok());
    let values = Values {
        session: session.as_ref(),
        instance: instance.as_ref(),
        allocation: allocation.as_ref(),
        join_token: join_token.then_some(text),
        ..*values
    };
    render(launch, &values).map(drop)
}

/// Where a text holds a zero byte, which ends it for the system.
fn zero_byte(spec: &LaunchSpec) -> Option<String> {
    let arguments = spec.argv.iter().enumerate().map(|(index, text)| (format!("argument {index}"), text));
    let variables = spec.env.iter().map(|(key, text)| (format!("the variable {key}"), text));
    let dir = spec.dir.iter().map(|text| ("the working directory".to_owned(), text));
    arguments.chain(variables).chain(dir).find(|(_, text)| text.contains('\0')).map(|(place, _)| place)
}

/// Checks every template of the launch with stand-ins for what only an allocation knows. All faults, not the first.
pub(crate) fn check(launch: &Launch) -> Vec<LaunchError> {
    let stand_in = StartupParams { map: "map".into(), mode: Some("mode".into()), ..StartupParams::default() };
    let values = Values {
        name: "name",
        host: Some("host"),
        region: Some("region"),
        params: Some(&stand_in),
        ..Values::default()
    };
    let filler = Filler::new(launch, &values);
    let mut faults: Vec<_> = if launch.command.is_empty() { vec![LaunchError::NoCommand] } else { Vec::new() };
    let arguments = launch.command.iter().enumerate().map(|(index, text)| (format!("argument {index} ({text})"), text));
    let variables = launch.env.iter().map(|(key, text)| (format!("the variable {key}"), text));
    let dir = launch.dir.iter().map(|text| ("the working directory".to_owned(), text));
    for (place, text) in arguments.chain(variables).chain(dir) {
        faults.extend(filler.check(&place, text).err());
    }
    faults
}

/// Whether a template prints or asks for a value of this name.
pub(crate) fn uses(text: &str, name: &str) -> bool {
    engine().template_from_str(text).is_ok_and(|template| template.undeclared_variables(false).contains(name))
}

/// Whether a warm game that was started as `warm` may serve an allocation for which it would be started as `wanted`:
/// everything but the allocation's ids is equal, and the startup values, where it was started without a use of them.
pub(crate) fn may_serve(launch: &Launch, warm: &LaunchSpec, wanted: &LaunchSpec) -> bool {
    const IDS: [&str; 4] =
        ["GAMESIDE_SESSION_ID", "GAMESIDE_INSTANCE_ID", "GAMESIDE_ALLOCATION_ID", "GAMESIDE_JOIN_TOKEN"];
    let any = launch.reuse == Reuse::Auto && !uses_startup_values(launch);
    let differs = |key: &str| IDS.contains(&key) || any && STARTUP_VARIABLES.contains(&key);
    let env = |spec: &LaunchSpec| {
        let mut env = spec.env.clone();
        env.retain(|key, _| !differs(key));
        env
    };
    warm.argv == wanted.argv && warm.dir == wanted.dir && warm.forking == wanted.forking && env(warm) == env(wanted)
}

/// Whether the command, the environment or the working directory has a use of what a session says. That the game is
/// always given it in variables and in a file is no use; a command that names such a variable has one.
fn uses_startup_values(launch: &Launch) -> bool {
    const VALUES: [&str; 6] = ["map", "mode", "misc", "misc_args", "custom", "startup_file"];
    let engine = engine();
    let uses = |text: &String| {
        let named = STARTUP_VARIABLES.iter().chain(&["GAMESIDE_STARTUP_FILE"]).any(|name| text.contains(name));
        let template = engine.template_from_str(text);
        named || template.is_ok_and(|it| it.undeclared_variables(false).iter().any(|v| VALUES.contains(&v.as_str())))
    };
    launch.command.iter().chain(launch.env.values()).chain(&launch.dir).any(uses)
}

/// A connection string. `{host}` and `{{host}}` both name the host; an IPv6 address gets its brackets.
pub(crate) fn address(format: &str, host: &str, port: &str, ports: &Ports) -> Result<String, LaunchError> {
    let place = || format!("the address format {format:?}");
    let number = ports.get(port).copied();
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let values =
        minijinja::context! { host, port => number.map_or(Value::UNDEFINED, Value::from), ports => numbers(ports) };
    fill(&engine(), &place(), &double_braces(format), &values)
}

/// `{name}` → `{{name}}`, in a text that uses no template syntax of its own.
fn double_braces(format: &str) -> String {
    if format.contains("{{") || format.contains("{%") {
        return format.to_owned();
    }
    format.replace('{', "{{").replace('}', "}}")
}

fn numbers(ports: &Ports) -> Value {
    Value::from_pairs(ports.iter().map(|(name, port)| (name.as_str(), *port)))
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    engine
}

fn fill(engine: &Environment<'_>, place: &str, text: &str, values: &Value) -> Result<String, LaunchError> {
    engine
        .render_str(text, values)
        .map_err(|error| LaunchError::Template { place: place.to_owned(), why: explain(&error) })
}

fn explain(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None if error.kind() == minijinja::ErrorKind::UndefinedError => "it uses a value that isn't known".to_owned(),
        None => error.kind().to_string(),
    }
}

struct Filler<'a> {
    engine: Environment<'static>,
    values: Value,
    /// What the session says, and what is demanded of it.
    said: StartupValues<'a>,
    has_map: bool,
}

impl<'a> Filler<'a> {
    fn new(launch: &'a Launch, values: &Values<'a>) -> Self {
        let misc = values.params.map_or("", |params| params.misc_params.as_str());
        let map = values.params.map(|params| params.map.as_str()).filter(|map| !map.is_empty());
        let mode = values.params.and_then(|params| params.mode.as_deref()).filter(|mode| !mode.is_empty());
        let mut known: BTreeMap<&str, Value> = BTreeMap::from([
            ("name", Value::from(values.name)),
            ("misc", Value::from(misc)),
            ("misc_args", Value::from(misc)),
            ("ports", numbers(&launch.ports)),
            ("startup_file", Value::from(launch.startup_file.as_str())),
            ("custom", Value::from_pairs(values.params.iter().flat_map(|params| params.custom_data.clone()))),
        ]);
        let optional = [
            ("map", map),
            ("mode", mode),
            ("host", values.host),
            ("region", values.region),
            ("session_id", values.session.map(SessionId::as_str)),
            ("instance_id", values.instance.map(InstanceId::as_str)),
            ("allocation_id", values.allocation.map(AllocationId::as_str)),
            ("join_token", values.join_token),
        ];
        known.extend(optional.into_iter().filter_map(|(key, value)| Some((key, Value::from(value?)))));
        let said = StartupValues { params: values.params, written_by: values.written_by, allow: &launch.allow };
        Filler { engine: engine(), values: Value::from_pairs(known), said, has_map: map.is_some() }
    }

    fn fill(&self, place: &str, text: &str) -> Result<String, LaunchError> {
        fill(&self.engine, place, text, &self.values).map_err(|error| {
            let uses_map =
                self.engine.template_from_str(text).is_ok_and(|t| t.undeclared_variables(false).contains("map"));
            if uses_map && !self.has_map { LaunchError::NoMap { place: place.to_owned() } } else { error }
        })
    }

    /// The words that an argument of the configuration becomes: none, one, or many.
    fn argument(&self, place: &str, text: &str) -> Result<Vec<String>, LaunchError> {
        if is_misc_args(text) {
            let words = shell_words::split(self.said.params.map_or("", |params| params.misc_params.as_str()));
            return words.map_err(|error| LaunchError::Words { place: place.to_owned(), why: error.to_string() });
        }
        let filled = self.fill(place, text)?;
        Ok(if !filled.is_empty() || text.is_empty() { vec![filled] } else { Vec::new() })
    }

    /// Whether what the session says may stand in this text, which came to `filled`.
    fn fits(&self, place: &str, text: &str, filled: &str, shape: Shape) -> Result<(), LaunchError> {
        let Ok(template) = self.engine.template_from_str(text) else { return Ok(()) };
        let used = template.undeclared_variables(true);
        self.said.fit(used.iter().map(String::as_str), filled, shape).map_err(|(name, why)| LaunchError::Unfit {
            place: place.to_owned(),
            name,
            why,
        })
    }

    /// Syntax, and names that no allocation could define.
    fn check(&self, place: &str, text: &str) -> Result<(), LaunchError> {
        const OF_ALLOCATION: [&str; 5] = ["session_id", "instance_id", "allocation_id", "join_token", "custom"];
        let fault = |why: String| LaunchError::Template { place: place.to_owned(), why };
        let template = self.engine.template_from_str(text).map_err(|error| fault(explain(&error)))?;
        for path in template.undeclared_variables(true) {
            let root = path.split('.').next().unwrap_or_default();
            let known = OF_ALLOCATION.contains(&root)
                || path
                    .split('.')
                    .try_fold(self.values.clone(), |value, key| value.get_attr(key))
                    .is_ok_and(|v| !v.is_undefined());
            if !known {
                return Err(fault(format!("{path} is not known here")));
            }
        }
        Ok(())
    }
}

fn is_misc_args(text: &str) -> bool {
    text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).is_some_and(|name| name.trim() == "misc_args")
}

/// The variables that every game gets.
fn given_env(launch: &Launch, values: &Values<'_>) -> BTreeMap<String, String> {
    let text = |key: &str, value: Option<&str>| value.map(|value| (format!("GAMESIDE_{key}"), value.to_owned()));
    let params = values.params;
    let named = [
        text("NAME", Some(values.name)),
        text("STARTUP_FILE", Some(&launch.startup_file)),
        text("MAP", params.map(|params| params.map.as_str()).filter(|map| !map.is_empty())),
        text("MODE", params.and_then(|params| params.mode.as_deref())),
        text("MISC", params.map(|params| params.misc_params.as_str()).filter(|misc| !misc.is_empty())),
        text("SESSION_ID", values.session.map(SessionId::as_str)),
        text("INSTANCE_ID", values.instance.map(InstanceId::as_str)),
        text("ALLOCATION_ID", values.allocation.map(AllocationId::as_str)),
        text("JOIN_TOKEN", values.join_token),
    ];
    let ports = launch.ports.iter().map(|(name, port)| {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        (format!("GAMESIDE_PORT_{name}"), port.to_string())
    });
    named.into_iter().flatten().chain(ports).collect()
}

/// The startup parameters for games that read JSON. Without the join token: others on the machine may read the file.
fn startup_json(launch: &Launch, values: &Values<'_>) -> String {
    let mut text = serde_json::json!({
        "name": values.name,
        "session_id": values.session,
        "instance_id": values.instance,
        "allocation_id": values.allocation,
        "region": values.region,
        "startup_params": values.params,
        "ports": launch.ports,
    });
    if let Some(members) = text.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    text.to_string()
}
