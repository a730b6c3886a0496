//! Operations on a configuration as a tree of JSON values, guided by a sample
//! tree that holds every key.

mod fit;

use serde::Serialize;
use serde_json::{Map, Value};

pub(super) use self::fit::deserialize;
use super::{ENV_PREFIX, Problem};

/// The key that stands for any name in a map with free keys.
const ANY: &str = "*";

/// A configuration as a tree.
pub(super) fn of<T: Serialize>(config: &T) -> Value {
    serde_json::to_value(config).expect("a configuration has string keys and finite numbers")
}

/// Drops `null`: an empty YAML key or an absent option means "not set".
pub(super) fn remove_unset(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(remove_unset);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_unset),
        _ => {}
    }
}

/// Moves every key that the sample does not know into `problems`.
pub(super) fn remove_unknown(
    tree: &mut Value,
    sample: &Value,
    unsupported: &[&str],
    problems: &mut Vec<Problem>,
) {
    let walk = UnknownKeys {
        known: keys(sample, &Value::Null),
        unsupported,
    };
    walk.enter(tree, sample, &Place::default(), problems);
}

/// A path as it is shown (`namespaces[1]`) and as it is declared (`namespaces[]`).
#[derive(Clone, Debug, Default)]
struct Place {
    shown: String,
    declared: String,
}

impl Place {
    fn key(&self, name: &str) -> Self {
        Self {
            shown: join(&self.shown, name),
            declared: join(&self.declared, name),
        }
    }

    fn index(&self, i: usize) -> Self {
        Self {
            shown: format!("{}[{i}]", self.shown),
            declared: format!("{}[]", self.declared),
        }
    }
}

struct UnknownKeys<'a> {
    known: Vec<(String, Value)>,
    unsupported: &'a [&'a str],
}

impl UnknownKeys<'_> {
    fn enter(&self, tree: &mut Value, sample: &Value, place: &Place, problems: &mut Vec<Problem>) {
        match (tree, sample) {
            (Value::Object(map), Value::Object(shape)) => {
                let any = shape.get(ANY);
                map.retain(|name, child| {
                    let inner = place.key(name);
                    if let Some(shape) = shape.get(name).or(any) {
                        self.enter(child, shape, &inner, problems);
                        return true;
                    }
                    if !self.unsupported.contains(&inner.declared.as_str()) {
                        let near = nearest(&place.shown, name, shape, &self.known);
                        problems.push(Problem::new(
                            inner.shown,
                            format!("unknown key; the nearest known key is {near}"),
                        ));
                    } else if !is_idle(child) {
                        problems.push(Problem::new(inner.shown, "not supported yet"));
                    }
                    false
                });
            }
            (Value::Array(list), Value::Array(shape)) => {
                if let Some(shape) = shape.first() {
                    for (i, item) in list.iter_mut().enumerate() {
                        self.enter(item, shape, &place.index(i), problems);
                    }
                }
            }
            // A value of another type is for `deserialize` to report.
            _ => {}
        }
    }
}

/// Whether a value turns nothing on.
fn is_idle(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => {
            text.is_empty() || super::duration::parse(text).is_ok_and(|d| d.is_zero())
        }
        Value::Array(list) => list.is_empty(),
        // A section whose switch is off may hold all sorts of settings.
        Value::Object(map) => match map.get("enabled") {
            Some(enabled) => is_idle(enabled),
            None => map.values().all(is_idle),
        },
    }
}

/// A misspelt neighbour, else the same name elsewhere, else what looks most alike.
fn nearest(
    parent: &str,
    name: &str,
    siblings: &Map<String, Value>,
    known: &[(String, Value)],
) -> String {
    let sibling = siblings
        .keys()
        .map(|key| (strsim::normalized_damerau_levenshtein(name, key), key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((score, key)) = sibling
        && score >= 0.6
    {
        return join(parent, key);
    }
    let path = join(parent, name);
    let score = |key: &str| {
        let last = key.rsplit('.').next().unwrap_or(key);
        if last == name {
            return 2.0;
        }
        // `token_hmac_secret_key` is an older spelling of `client.token.hmac_secret_key`.
        let flat = key.replace(['.', '['], "_").replace(']', "");
        let suffix = flat.ends_with(&format!("_{name}"));
        let alike = strsim::normalized_damerau_levenshtein(&path, key);
        if suffix { 1.0 + alike } else { alike }
    };
    known
        .iter()
        .map(|(key, _)| (score(key), key))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, key)| key.clone())
}

/// Lays one tree over another: tables are merged, all else is replaced.
pub(super) fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                match below.get_mut(&name) {
                    Some(place) => merge(place, value),
                    None => {
                        below.insert(name, value);
                    }
                }
            }
        }
        (below, above) => *below = above,
    }
}

/// Lays the environment over the tree.
pub(super) fn apply_env(
    tree: &mut Value,
    sample: &Value,
    env: Vec<(String, String)>,
    problems: &mut Vec<Problem>,
) {
    for (variable, text) in env {
        let Some(rest) = variable.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        if let Some((path, shape)) = by_variable(sample, rest) {
            match coerce(&text, shape) {
                Ok(value) => set(tree, &path, value),
                Err(message) => problems.push(Problem::new(variable, message)),
            }
        } else if !is_foreign(rest, &text) {
            let near = nearest_variable(sample, rest);
            problems.push(Problem::new(
                variable,
                format!("no such key; the nearest known variable is {near}"),
            ));
        }
    }
}

/// Lays flags over the tree.
pub(super) fn apply_overrides(
    tree: &mut Value,
    sample: &Value,
    overrides: Vec<(String, String)>,
    problems: &mut Vec<Problem>,
) {
    for (key, text) in overrides {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let shape = path.iter().try_fold(sample, |node, name| {
            let map = node.as_object()?;
            map.get(name).or_else(|| map.get(ANY))
        });
        let Some(shape) = shape else {
            let known = keys(sample, &Value::Null);
            let near = nearest("", &key, &Map::new(), &known);
            problems.push(Problem::new(
                key,
                format!("unknown key; the nearest known key is {near}"),
            ));
            continue;
        };
        match coerce(&text, shape) {
            Ok(value) => set(tree, &path, value),
            Err(message) => problems.push(Problem::new(key, message)),
        }
    }
}

/// The key that `CLIENT_PING_INTERVAL` means. Underscores separate levels and
/// occur in names, so every way to cut is tried, the longest name first.
fn by_variable<'s>(node: &'s Value, rest: &str) -> Option<(Vec<String>, &'s Value)> {
    let map = node.as_object()?;
    let mut names: Vec<&String> = map.keys().filter(|name| *name != ANY).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        let upper = name.to_uppercase();
        if rest == upper {
            return Some((vec![name.clone()], &map[name]));
        }
        if let Some(deeper) = rest.strip_prefix(&upper).and_then(|r| r.strip_prefix('_'))
            && let Some((mut path, shape)) = by_variable(&map[name], deeper)
        {
            path.insert(0, name.clone());
            return Some((path, shape));
        }
    }
    None
}

fn nearest_variable(sample: &Value, rest: &str) -> String {
    keys(sample, &Value::Null)
        .iter()
        // Inside a list there are no variables: the list as a whole has one.
        .map(|(key, _)| key.split("[]").next().unwrap_or(key))
        .map(|key| key.replace('.', "_").to_uppercase())
        .max_by(|a, b| {
            let score = |name: &str| strsim::normalized_damerau_levenshtein(rest, name);
            score(a).total_cmp(&score(b))
        })
        .map_or_else(String::new, |name| format!("{ENV_PREFIX}{name}"))
}

/// Whether a variable is not meant for the configuration: the flag `--config`,
/// switches of tests, and what Kubernetes sets in every container of a
/// namespace that has a service named `fanfare…`.
fn is_foreign(rest: &str, text: &str) -> bool {
    let link = |protocol: &str| {
        rest.split_once("PORT_")
            .is_some_and(|(_, port)| port.contains(protocol))
    };
    rest == "CONFIG"
        || rest.starts_with("TEST_")
        || rest.ends_with("SERVICE_HOST")
        || rest.ends_with("SERVICE_PORT")
        || rest.contains("SERVICE_PORT_")
        || (rest.ends_with("PORT") && text.contains("://"))
        || ["_TCP", "_UDP", "_SCTP"].into_iter().any(link)
}

/// A text as the type that the sample has at its place.
fn coerce(text: &str, shape: &Value) -> Result<Value, String> {
    match shape {
        Value::Bool(_) => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err("expected true or false".to_owned()),
        },
        Value::Number(_) => serde_json::from_str::<serde_json::Number>(text)
            .map(Value::Number)
            .map_err(|_| "expected a number".to_owned()),
        Value::Array(items) => {
            let is_table = items.first().is_some_and(Value::is_object);
            if is_table || text.trim_start().starts_with('[') {
                return match serde_json::from_str(text) {
                    Ok(list @ Value::Array(_)) => Ok(list),
                    Ok(_) => Err("expected a JSON array".to_owned()),
                    Err(e) => Err(format!("expected a JSON array: {e}")),
                };
            }
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| match items.first() {
                    Some(shape) => coerce(item, shape),
                    None => Ok(Value::String(item.to_owned())),
                })
                .collect()
        }
        Value::Object(_) => match serde_json::from_str(text) {
            Ok(map @ Value::Object(_)) => Ok(map),
            Ok(_) => Err("expected a JSON object".to_owned()),
            Err(e) => Err(format!("expected a JSON object: {e}")),
        },
        Value::String(_) | Value::Null => Ok(Value::String(text.to_owned())),
    }
}

fn set(tree: &mut Value, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut node = tree;
    for name in parents {
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        node = &mut node[name.as_str()];
    }
    if !node.is_object() {
        *node = Value::Object(Map::new());
    }
    node[last.as_str()] = value;
}

/// Every leaf of the sample with its default.
pub(super) fn keys(sample: &Value, default: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    collect_keys(sample, Some(default), "", &mut found);
    found
}

fn collect_keys(
    sample: &Value,
    default: Option<&Value>,
    path: &str,
    found: &mut Vec<(String, Value)>,
) {
    match sample {
        Value::Object(map) if !map.is_empty() && !map.contains_key(ANY) => {
            for (name, child) in map {
                let default = default.and_then(|d| d.get(name));
                collect_keys(child, default, &join(path, name), found);
            }
        }
        Value::Array(list) if list.first().is_some_and(Value::is_object) => {
            collect_keys(&list[0], Some(&list[0]), &format!("{path}[]"), found);
        }
        _ => found.push((path.to_owned(), default.cloned().unwrap_or(Value::Null))),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
