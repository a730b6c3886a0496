//! Turns a tree into a configuration and finds every value that does not fit.

use serde_json::Value;

use super::{ANY, join};
use crate::config::{Problem, Schema};

/// Deserializes, reporting every value that does not fit: each is named, taken
/// out, and the rest is tried again. With problems the result is not meaningful.
pub(in crate::config) fn deserialize<T: Schema>(
    mut tree: Value,
    sample: &Value,
    problems: &mut Vec<Problem>,
) -> T {
    loop {
        let message = match T::deserialize(&tree) {
            Ok(config) => return config,
            Err(error) => error.to_string(),
        };
        let blamed = blame::<T>(&tree, &message);
        problems.push(Problem::new(display(&blamed), message));
        let taken_out = match blamed.last() {
            // A list keeps its length, so that later problems name the right index.
            Some(Step::Index(_)) => replace_by_sample(&mut tree, &blamed, sample),
            Some(Step::Key(_)) => remove(&mut tree, &blamed),
            None => false,
        };
        if !taken_out {
            return T::default();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The deepest place without which this error would not be.
///
/// Found by leaving out one part at a time: serde does not tell the place of an
/// error below a flattened struct.
fn blame<T: Schema>(tree: &Value, message: &str) -> Vec<Step> {
    let mut path: Vec<Step> = Vec::new();
    loop {
        let children: Vec<Step> = match at(tree, &path) {
            Some(Value::Object(map)) => map.keys().cloned().map(Step::Key).collect(),
            Some(Value::Array(list)) => (0..list.len()).map(Step::Index).collect(),
            _ => Vec::new(),
        };
        let guilty = children.into_iter().find(|step| {
            let mut without = tree.clone();
            let mut child = path.clone();
            child.push(step.clone());
            if !remove(&mut without, &child) {
                return false;
            }
            match T::deserialize(&without) {
                Ok(_) => true,
                Err(error) if error.to_string() != message => {
                    // A required key that is now missing is a new error of the
                    // same table, not a sign of guilt.
                    !matches!(step, Step::Key(key) if error.to_string() == format!("missing field `{key}`"))
                }
                Err(_) if message.starts_with("missing field") => false,
                Err(_) => {
                    // The same error may come from a later twin: is this one bad
                    // when it is alone?
                    let mut alone = tree.clone();
                    keep_only(&mut alone, &path, step);
                    T::deserialize(&alone).is_err_and(|e| e.to_string() == message)
                }
            }
        });
        match guilty {
            Some(step) => path.push(step),
            None => return path,
        }
    }
}

fn at<'t>(tree: &'t Value, path: &[Step]) -> Option<&'t Value> {
    path.iter().try_fold(tree, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Index(i) => node.get(*i),
    })
}

fn at_mut<'t>(tree: &'t mut Value, path: &[Step]) -> Option<&'t mut Value> {
    path.iter().try_fold(tree, |node, step| match step {
        Step::Key(key) => node.get_mut(key),
        Step::Index(i) => node.get_mut(*i),
    })
}

fn remove(tree: &mut Value, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    match (at_mut(tree, parents), last) {
        (Some(Value::Object(map)), Step::Key(key)) => map.remove(key).is_some(),
        (Some(Value::Array(list)), Step::Index(i)) if *i < list.len() => {
            list.remove(*i);
            true
        }
        _ => false,
    }
}

/// Puts the sample's element in the place of a list's element.
fn replace_by_sample(tree: &mut Value, path: &[Step], sample: &Value) -> bool {
    let shape = path.iter().try_fold(sample, |node, step| match step {
        Step::Key(key) => node.get(key).or_else(|| node.get(ANY)),
        Step::Index(_) => node.get(0),
    });
    match (at_mut(tree, path), shape) {
        (Some(place), Some(shape)) if place != shape => {
            place.clone_from(shape);
            true
        }
        _ => remove(tree, path),
    }
}

/// Reduces the tree to one branch.
fn keep_only(tree: &mut Value, path: &[Step], step: &Step) {
    let mut full = path.to_vec();
    full.push(step.clone());
    for depth in 0..full.len() {
        match (at_mut(tree, &full[..depth]), &full[depth]) {
            (Some(Value::Object(map)), Step::Key(key)) => map.retain(|k, _| k == key),
            (Some(Value::Array(list)), Step::Index(i)) => {
                let kept = list.swap_remove(*i);
                *list = vec![kept];
                full[depth] = Step::Index(0);
            }
            _ => return,
        }
    }
}

fn display(path: &[Step]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Key(key) => join(&text, key),
        Step::Index(i) => format!("{text}[{i}]"),
    })
}
