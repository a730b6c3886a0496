use std::sync::mpsc;

use redis::{cmd, pipe};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(4);

/// A connection, its other end, and what is pushed, in words.
fn connected() -> (Connection, DuplexStream, mpsc::Receiver<String>) {
    let (ours, theirs) = duplex(1024);
    let (told, pushed) = mpsc::channel();
    let on_push = move |push: Push<'_>| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let push = match push {
            Push::Message { name, payload } => format!("{}: {}", text(name), text(payload)),
            Push::Subscribed(name) => format!("subscribed to {}", text(name)),
            Push::Lost => "lost".to_owned(),
        };
        let _nobody_listens = told.send(push);
    };
    let (connection, driver) = Connection::new(ours, PATIENCE, on_push);
    tokio::spawn(driver);
    (connection, theirs, pushed)
}

/// Asks, and waits until the other end has all of it.
async fn ask(
    connection: &Connection,
    theirs: &mut DuplexStream,
    word: &str,
) -> tokio::task::JoinHandle<RedisResult<Value>> {
    let (connection, command) = (connection.clone(), cmd(word));
    let sent = format!("*1\r\n${}\r\n{word}\r\n", word.len());
    let deadline = connection.deadline();
    let asking = tokio::spawn(async move { connection.ask(&command, deadline).await });
    let mut received = vec![0; sent.len()];
    theirs.read_exact(&mut received).await.unwrap();
    assert_eq!(String::from_utf8(received).unwrap(), sent);
    asking
}

fn int(answer: Result<RedisResult<Value>, tokio::task::JoinError>) -> i64 {
    match answer.unwrap().unwrap() {
        Value::Int(n) => n,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_go_to_who_asked_in_any_pieces_and_around_what_is_pushed() {
    let (connection, mut theirs, pushed) = connected();
    let first = ask(&connection, &mut theirs, "ONE").await;
    let second = ask(&connection, &mut theirs, "TWO").await;
    let message = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n";
    let said = format!("{message}:1\r\n{message}:2\r\n{message}");
    for piece in said.as_bytes().chunks(5) {
        theirs.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!((int(first.await), int(second.await)), (1, 2));
    let third = ask(&connection, &mut theirs, "THREE").await;
    theirs.write_all(b":3\r\n").await.unwrap();
    assert_eq!(int(third.await), 3);
    assert_eq!(pushed.try_iter().collect::<Vec<_>>(), ["c: hi"; 3]);
}

#[tokio::test]
async fn the_answer_of_who_went_away_goes_to_nobody() {
    let (connection, mut theirs, _pushed) = connected();
    let first = ask(&connection, &mut theirs, "ONE").await;
    let second = ask(&connection, &mut theirs, "TWO").await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    theirs.write_all(b":1\r\n:2\r\n").await.unwrap();
    assert_eq!(int(second.await), 2);
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_told_and_the_late_answer_goes_to_nobody() {
    let (connection, mut theirs, _pushed) = connected();
    let began = Instant::now();
    let late = ask(&connection, &mut theirs, "ONE").await;
    let error = late.await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let waited = began.elapsed();
    assert!(
        waited >= PATIENCE && waited <= PATIENCE + PATIENCE / LOOKS,
        "{waited:?}"
    );
    let next = ask(&connection, &mut theirs, "TWO").await;
    theirs.write_all(b":1\r\n:2\r\n").await.unwrap();
    assert_eq!(int(next.await), 2);
}

#[tokio::test]
async fn a_pipeline_gets_its_answers_errors_and_all() {
    let (mut connection, mut theirs, _pushed) = connected();
    let asking = tokio::spawn(async move {
        let mut commands = pipe();
        commands.cmd("A").cmd("B").ignore().cmd("C");
        let answer: RedisResult<(i64, i64)> = commands.query_async(&mut connection).await;
        let refused: RedisResult<(i64, i64)> = commands.query_async(&mut connection).await;
        let nothing: RedisResult<()> = pipe().query_async(&mut connection).await;
        nothing.unwrap();
        (answer, refused)
    });
    for answers in [":1\r\n+OK\r\n:3\r\n", ":1\r\n-ERR no\r\n:3\r\n"] {
        let mut asked = vec![0; 3 * "*1\r\n$1\r\nA\r\n".len()];
        theirs.read_exact(&mut asked).await.unwrap();
        theirs.write_all(answers.as_bytes()).await.unwrap();
    }
    let (answer, refused) = asking.await.unwrap();
    assert_eq!(answer.unwrap(), (1, 3));
    assert!(refused.unwrap_err().to_string().contains("no"));
}

#[tokio::test]
async fn a_subscription_waits_for_all_confirmations_or_one_refusal() {
    let (connection, mut theirs, pushed) = connected();
    let subscribing = {
        let connection = connection.clone();
        let names = ["a".to_owned(), "b".to_owned()];
        tokio::spawn(async move { connection.subscribe(&names).await })
    };
    let mut asked = vec![0; "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n".len()];
    theirs.read_exact(&mut asked).await.unwrap();
    theirs
        .write_all(b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        .await
        .unwrap();
    let next = ask(&connection, &mut theirs, "ONE").await;
    assert!(!subscribing.is_finished(), "one is not both");
    let b = b">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n:1\r\n";
    theirs.write_all(b).await.unwrap();
    subscribing.await.unwrap().unwrap();
    assert_eq!(int(next.await), 1);
    let told: Vec<_> = pushed.try_iter().collect();
    assert_eq!(told, ["subscribed to a", "subscribed to b"]);

    theirs.write_all(b"-NOPERM not you\r\n").await.unwrap();
    let refused = connection.unsubscribe(&["a".to_owned()]).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOPERM"));
}

#[tokio::test]
async fn who_waits_is_told_when_the_other_side_is_gone_or_talks_nonsense() {
    for said in ["", "hello\r\n", ":1\r\n:2\r\n"] {
        let (connection, mut theirs, pushed) = connected();
        let first = ask(&connection, &mut theirs, "ONE").await;
        theirs.write_all(said.as_bytes()).await.unwrap();
        if said.is_empty() {
            drop(theirs);
        }
        let first = first.await.unwrap();
        assert_eq!(first.is_ok(), said.starts_with(":1"), "{first:?}");
        // It is told once the connection has come to its end.
        let lost = tokio::task::spawn_blocking(move || pushed.recv_timeout(PATIENCE));
        assert_eq!(lost.await.unwrap().unwrap(), "lost");
        let after = connection.ask(&cmd("TWO"), connection.deadline()).await;
        assert!(after.unwrap_err().is_io_error());
    }
}

#[tokio::test]
async fn it_ends_with_its_last_handle_and_with_its_runtime() {
    let (connection, mut theirs, _pushed) = connected();
    let other = connection.clone();
    drop(connection);
    let asking = ask(&other, &mut theirs, "ONE").await;
    asking.abort();
    let _aborted = asking.await;
    drop(other);
    let end = timeout(PATIENCE, theirs.read(&mut [0; 8])).await;
    assert_eq!(end.expect("in time").unwrap(), 0, "the stream ends");

    // Also while the other side takes nothing.
    let (ours, _full) = duplex(1);
    let (connection, driver) = Connection::new(ours, PATIENCE, |_| {});
    let driver = tokio::spawn(driver);
    let (command, deadline) = (cmd("ONE"), connection.deadline());
    assert!(connection.ask(&command, deadline).now_or_never().is_none());
    tokio::task::yield_now().await;
    drop(connection);
    let end = timeout(PATIENCE, driver).await;
    end.expect("in time").expect("it ends well");

    let (ours, _theirs) = duplex(1024);
    let (connection, driver) = Connection::new(ours, PATIENCE, |_| {});
    let driver = tokio::spawn(driver);
    let command = cmd("ONE");
    let asking = connection.ask(&command, connection.deadline());
    driver.abort();
    assert!(asking.await.unwrap_err().is_io_error());
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (ours, _theirs) = duplex(16);
    let (connection, _driver_that_never_runs) = Connection::new(ours, PATIENCE, |_| {});
    let large = vec![0_u8; MAX_BYTES / 4];
    let mut command = cmd("SET");
    command.arg("key").arg(&large);
    let deadline = connection.deadline();
    let mut asked: Vec<_> = (0..5)
        .map(|_| Box::pin(connection.ask(&command, deadline)))
        .collect();
    let mut refused = 0;
    for one in &mut asked {
        if let Some(Err(error)) = one.as_mut().now_or_never() {
            assert_eq!(error.code(), Some("BUSY"), "{error}");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
}
