use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Reads everything from a stream that comes in these pieces.
fn read(pieces: &[&[u8]]) -> Result<Vec<Owned>, Malformed> {
    let (mut reader, mut input, mut items) = (Reader::default(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let (used, item) = reader.read(&input)?;
            let item = item.map(Owned::from);
            input.drain(..used);
            match item {
                Some(item) => items.push(item),
                None => break,
            }
        }
    }
    assert!(reader.open.is_empty() && input.is_empty(), "all is read");
    Ok(items)
}

/// An [`Item`] for comparison: a message is a push, however it was read.
#[derive(Debug, PartialEq)]
enum Owned {
    Reply(Value),
    Push(Vec<Value>),
}

impl From<Item<'_>> for Owned {
    fn from(item: Item<'_>) -> Self {
        let string = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        match item {
            Item::Reply(value) => Self::Reply(value),
            Item::Message { name, payload } => {
                Self::Push(vec![string(b"message"), string(name), string(payload)])
            }
            Item::Push(values) => Self::Push(values),
        }
    }
}

/// As Redis writes it. Null has three forms, of which two are of the protocol before.
fn encoded(value: &Value, to: &mut Vec<u8>) {
    let header = |to: &mut Vec<u8>, kind: char, n: usize| {
        to.extend_from_slice(format!("{kind}{n}\r\n").as_bytes());
    };
    match value {
        Value::Nil => to.extend_from_slice(b"_\r\n"),
        Value::Int(n) => to.extend_from_slice(format!(":{n}\r\n").as_bytes()),
        Value::Okay => to.extend_from_slice(b"+OK\r\n"),
        Value::SimpleString(text) => to.extend_from_slice(format!("+{text}\r\n").as_bytes()),
        Value::Boolean(b) => to.extend_from_slice(if *b { b"#t\r\n" } else { b"#f\r\n" }),
        Value::Double(n) => to.extend_from_slice(format!(",{n}\r\n").as_bytes()),
        Value::BulkString(bytes) => {
            header(to, '$', bytes.len());
            to.extend_from_slice(bytes);
            to.extend_from_slice(b"\r\n");
        }
        Value::Array(values) => {
            header(to, '*', values.len());
            values.iter().for_each(|value| encoded(value, to));
        }
        Value::Set(values) => {
            header(to, '~', values.len());
            values.iter().for_each(|value| encoded(value, to));
        }
        Value::Map(pairs) => {
            header(to, '%', pairs.len());
            for (key, value) in pairs {
                encoded(key, to);
                encoded(value, to);
            }
        }
        other => unreachable!("{other:?} is not made here"),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        Just(Value::Okay),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Boolean),
        (-1e9..1e9).prop_map(Value::Double),
        "[ -N-~]{0,20}".prop_map(Value::SimpleString),
        vec(any::<u8>(), 0..50).prop_map(Value::BulkString),
        Just(Value::BulkString(b"\r\n$5\r\n".to_vec())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_said_is_read_however_it_comes(
        values in vec(any_value(), 1..4),
        name in vec(any::<u8>(), 0..20),
        payload in vec(any::<u8>(), 0..200),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let push = Value::Array(vec![
            Value::BulkString(b"message".to_vec()),
            Value::BulkString(name),
            Value::BulkString(payload),
        ]);
        let mut said = Vec::new();
        encoded(&push, &mut said);
        said[0] = b'>';
        for value in &values {
            encoded(value, &mut said);
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(said.len())).collect();
        cuts.extend([0, said.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &said[cut[0]..cut[1]]).collect();

        let Value::Array(push) = push else { unreachable!() };
        let mut expected = vec![Owned::Push(push)];
        expected.extend(values.into_iter().map(Owned::Reply));
        prop_assert_eq!(read(&pieces), Ok(expected));
    }

    /// What the library makes of it, this makes of it too.
    #[test]
    fn the_library_agrees(value in any_value()) {
        let mut said = Vec::new();
        encoded(&value, &mut said);
        let library = parse_redis_value(&said).expect("it is right");
        prop_assert_eq!(read(&[&said]), Ok(vec![Owned::Reply(library)]));
    }

    #[test]
    fn nothing_makes_it_panic(input in vec(any::<u8>(), 0..100), pieces in 1_usize..10) {
        let mut reader = Reader::default();
        for piece in input.chunks(pieces) {
            if reader.read(piece).is_err() {
                break;
            }
        }
    }
}

#[test]
fn rare_kinds_are_what_the_library_makes_of_them() {
    for said in [
        "-ERR unknown command\r\n",
        "-NOSCRIPT No matching script.\r\n",
        "!10\r\nERR a\r\nbcd\r\n",
        "=8\r\ntxt:some\r\n",
        "(12345678901234567890\r\n",
        ",inf\r\n",
        "$-1\r\n",
        "*-1\r\n",
    ] {
        let library = parse_redis_value(said.as_bytes()).expect(said);
        let pieces: Vec<_> = said.as_bytes().chunks(3).collect();
        assert_eq!(read(&pieces), Ok(vec![Owned::Reply(library)]), "{said:?}");
    }
}

#[test]
fn of_an_attribute_only_what_it_is_about_is_kept() {
    let said = b"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n";
    let value = Value::Array(vec![Value::Int(1), Value::Int(2)]);
    assert_eq!(read(&[said]), Ok(vec![Owned::Reply(value)]));
}

#[test]
fn what_is_no_resp_is_refused() {
    let deep = "*1\r\n".repeat(DEPTH + 1);
    let long = format!("+{}", "a".repeat(LINE));
    for said in [
        "hello\r\n",
        ":\r\n",
        ":x\r\n",
        ":9223372036854775808\r\n",
        "$-2\r\n",
        "$600000000\r\n",
        "$3\r\nabcd\r\n",
        ">0\r\n",
        ">-1\r\n",
        "%-1\r\n",
        &deep,
        &long,
    ] {
        let read = Reader::default().read(said.as_bytes());
        assert_eq!(read, Err(Malformed), "{said:.20}");
    }
    let no_text = Reader::default().read(b"+\xff\r\n");
    assert_eq!(no_text, Err(Malformed));
}

/// A long answer in small pieces is not looked at again with each of them.
#[test]
fn a_long_string_is_read_once() {
    let mut said = b"*1\r\n$100000\r\n".to_vec();
    said.resize(said.len() + 100_000, b'x');
    let mut reader = Reader::default();
    let (used, item) = reader.read(&said).unwrap();
    assert_eq!((used, item), (4, None));
    assert_eq!(reader.needed, "$100000\r\n".len() + 100_002);
}
