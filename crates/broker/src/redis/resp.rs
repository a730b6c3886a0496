//! What Redis says, in RESP3: a reader of a stream that comes in pieces.
//!
//! It goes on where it stopped, so a long answer in many pieces is read once. Rare kinds
//! of values are left to the library's parser, which is general, and slow where most of
//! what comes are publications.

use redis::{Value, parse_redis_value};

/// Longest line: an error's text, a number. Redis' own limit for what it reads.
const LINE: usize = 64 * 1024;
/// Longest string: Redis' own limit, if nobody raised it.
const STRING: usize = 512 * 1024 * 1024;
/// What aggregates may lie in one another.
const DEPTH: usize = 32;
/// Values that room is made for before they have come.
const ROOM: usize = 1024;

/// A publication as it is usually pushed.
const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n";

/// Something whole.
#[derive(Debug, PartialEq)]
pub(super) enum Item<'a> {
    /// The answer to a command.
    Reply(Value),
    /// A message of a pub/sub channel.
    Message {
        /// The channel.
        name: &'a [u8],
        /// What was published.
        payload: &'a [u8],
    },
    /// Whatever else comes unasked; the first value names its kind.
    Push(Vec<Value>),
}

/// It is no RESP3, or goes beyond a limit.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("redis sent what is no RESP3")]
pub(super) struct Malformed;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Aggregates that are not whole yet, the outermost first.
    open: Vec<Aggregate>,
    /// With less input than this nothing new can be read.
    needed: usize,
}

#[derive(Debug)]
struct Aggregate {
    kind: Kind,
    /// Values that are still to come.
    missing: usize,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Array,
    Set,
    Map,
    Push,
    /// Pairs, and the value that they are about.
    Attribute,
}

impl Reader {
    /// Reads the next item. Returns how much of the input was used up, also when there
    /// is no item yet: call it again with the rest and what came since.
    ///
    /// # Errors
    /// See [`Malformed`]; nothing can be read after it.
    pub(super) fn read<'a>(
        &mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Item<'a>>), Malformed> {
        if self.open.is_empty()
            && let Some((used, item)) = message(input)
        {
            return Ok((used, Some(item)));
        }
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if rest.len() < self.needed.max(1) {
                return Ok((used, None));
            }
            self.needed = 0;
            let Some((taken, token)) = self.token(rest)? else {
                return Ok((used, None));
            };
            used += taken;
            let value = match token {
                Token::Value(value) => value,
                Token::Aggregate(kind, 0) => Aggregate::new(kind, 0).into_value(),
                Token::Aggregate(kind, missing) => {
                    if self.open.len() == DEPTH {
                        return Err(Malformed);
                    }
                    self.open.push(Aggregate::new(kind, missing));
                    continue;
                }
            };
            if let Some(item) = self.add(value) {
                return Ok((used, Some(item)));
            }
        }
    }

    /// Adds a value to the innermost aggregate, and this to the next if it is whole now.
    fn add(&mut self, mut value: Value) -> Option<Item<'static>> {
        loop {
            let Some(innermost) = self.open.last_mut() else {
                return Some(Item::Reply(value));
            };
            innermost.values.push(value);
            innermost.missing -= 1;
            if innermost.missing > 0 {
                return None;
            }
            let whole = self.open.pop().expect("there is one");
            if matches!(whole.kind, Kind::Push) && self.open.is_empty() {
                return Some(Item::Push(whole.values));
            }
            value = whole.into_value();
        }
    }

    fn token(&mut self, input: &[u8]) -> Result<Option<(usize, Token)>, Malformed> {
        let Some(end) = line_end(input)? else {
            return Ok(None);
        };
        let (line, after) = (&input[1..end], end + 2);
        let token = match input[0] {
            b':' => Token::Value(Value::Int(number(line)?)),
            b'+' => Token::Value(match line {
                b"OK" => Value::Okay,
                _ => Value::SimpleString(text(line)?.to_owned()),
            }),
            b'$' => {
                let Some(length) = length(line)? else {
                    return Ok(Some((after, Token::Value(Value::Nil))));
                };
                let Some(string) = self.string(input, after, length)? else {
                    return Ok(None);
                };
                let value = Value::BulkString(string.to_vec());
                return Ok(Some((after + length + 2, Token::Value(value))));
            }
            b'=' | b'!' => {
                let length = length(line)?.ok_or(Malformed)?;
                if self.string(input, after, length)?.is_none() {
                    return Ok(None);
                }
                let whole = after + length + 2;
                return Ok(Some((whole, Token::Value(rare(&input[..whole])?))));
            }
            b'*' => match length(line)? {
                Some(length) => Token::Aggregate(Kind::Array, length),
                None => Token::Value(Value::Nil),
            },
            b'~' => Token::Aggregate(Kind::Set, length(line)?.ok_or(Malformed)?),
            b'>' => match length(line)? {
                None | Some(0) => return Err(Malformed),
                Some(length) => Token::Aggregate(Kind::Push, length),
            },
            b'%' => Token::Aggregate(Kind::Map, 2 * length(line)?.ok_or(Malformed)?),
            b'|' => Token::Aggregate(Kind::Attribute, 2 * length(line)?.ok_or(Malformed)? + 1),
            b'-' | b'_' | b',' | b'#' | b'(' => Token::Value(rare(&input[..after])?),
            _ => return Err(Malformed),
        };
        Ok(Some((after, token)))
    }

    /// The string of a length that begins at `from`, if it is whole with what ends it.
    fn string<'a>(
        &mut self,
        input: &'a [u8],
        from: usize,
        length: usize,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(string) = input.get(from..from + length + 2) else {
            self.needed = from + length + 2;
            return Ok(None);
        };
        string.strip_suffix(b"\r\n").map(Some).ok_or(Malformed)
    }
}

impl Aggregate {
    fn new(kind: Kind, missing: usize) -> Self {
        Self {
            kind,
            missing,
            values: Vec::with_capacity(missing.min(ROOM)),
        }
    }

    fn into_value(mut self) -> Value {
        match self.kind {
            Kind::Array | Kind::Push => Value::Array(self.values),
            Kind::Set => Value::Set(self.values),
            Kind::Map => {
                let mut values = self.values.into_iter();
                let mut pairs = Vec::with_capacity(values.len() / 2);
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            // What it is about; nobody here wants to know what it says of it.
            Kind::Attribute => self.values.pop().unwrap_or_default(),
        }
    }
}

enum Token {
    Value(Value),
    Aggregate(Kind, usize),
}

/// A pushed publication, if the input begins with a whole one: most of what comes, and
/// read without a copy.
fn message(input: &[u8]) -> Option<(usize, Item<'_>)> {
    let (name, rest) = whole_string(input.strip_prefix(MESSAGE)?)?;
    let (payload, rest) = whole_string(rest)?;
    Some((input.len() - rest.len(), Item::Message { name, payload }))
}

fn whole_string(input: &[u8]) -> Option<(&[u8], &[u8])> {
    if input.first() != Some(&b'$') {
        return None;
    }
    let end = line_end(input).ok()??;
    let length = length(&input[1..end]).ok()??;
    let (string, rest) = input[end + 2..].split_at_checked(length)?;
    Some((string, rest.strip_prefix(b"\r\n")?))
}

/// Where the first line ends, if it does.
fn line_end(input: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut from = 1;
    loop {
        let Some(found) = input
            .get(from..)
            .and_then(|rest| rest.iter().position(|&b| b == b'\r'))
        else {
            let is_short = input.len() < LINE;
            return if is_short { Ok(None) } else { Err(Malformed) };
        };
        let at = from + found;
        match input.get(at + 1) {
            Some(b'\n') => return Ok(Some(at)),
            Some(_) => from = at + 1,
            None => return Ok(None),
        }
    }
}

/// The length of a string or of an aggregate; `None`: it is nil.
fn length(line: &[u8]) -> Result<Option<usize>, Malformed> {
    match number(line)? {
        -1 => Ok(None),
        length => usize::try_from(length)
            .ok()
            .filter(|&length| length <= STRING)
            .map(Some)
            .ok_or(Malformed),
    }
}

fn number(line: &[u8]) -> Result<i64, Malformed> {
    // A short one without a sign, as nearly all are.
    if (1..=18).contains(&line.len()) && line.iter().all(u8::is_ascii_digit) {
        return Ok(line
            .iter()
            .fold(0, |n, digit| n * 10 + i64::from(digit - b'0')));
    }
    text(line)?.parse().map_err(|_| Malformed)
}

fn text(line: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(line).map_err(|_| Malformed)
}

/// What the library reads.
fn rare(whole: &[u8]) -> Result<Value, Malformed> {
    parse_redis_value(whole).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests;
