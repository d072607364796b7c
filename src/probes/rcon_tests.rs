//! Against servers that speak the protocol as its public descriptions define it.

use super::*;
use tokio::net::TcpListener;

const PASSWORD: &str = "sesame";

async fn packet(stream: &mut TcpStream) -> io::Result<(i32, i32, String)> {
    let size = stream.read_i32_le().await?;
    let (id, kind) = (stream.read_i32_le().await?, stream.read_i32_le().await?);
    let mut body = vec![0; size as usize - 8];
    stream.read_exact(&mut body).await?;
    assert!(body.ends_with(&[0, 0]), "{body:?}");
    Ok((id, kind, String::from_utf8(body[..body.len() - 2].to_vec()).unwrap()))
}

fn frame(id: i32, kind: i32, body: &str) -> Vec<u8> {
    let numbers = [(body.len() + 10) as i32, id, kind].into_iter().flat_map(i32::to_le_bytes);
    numbers.chain(body.bytes()).chain([0, 0]).collect()
}

/// Takes one connection; what it was sent, if it let anybody in.
async fn serve(listener: TcpListener, dialect: Dialect) -> Option<String> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let (id, kind, password) = packet(&mut stream).await.unwrap();
    assert_eq!(kind, 3);
    let good = password == PASSWORD;
    let mut answer = if dialect == Dialect::Source { frame(id, 0, "") } else { Vec::new() };
    answer.extend(frame(if good { id } else { -1 }, 2, ""));
    // In pieces, as a network may bring it.
    for piece in answer.chunks(3) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    if !good {
        return None;
    }
    let (_, kind, command) = packet(&mut stream).await.ok()?;
    assert_eq!(kind, 2);
    Some(command)
}

async fn talk(dialect: Dialect, password: &str, command: &str) -> (Result<(), RconError>, Option<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, dialect));
    let sent = send_command(dialect, at, &password.into(), command, Duration::from_secs(60)).await;
    (sent, server.await.unwrap())
}

#[tokio::test]
async fn both_consoles_take_the_command_after_the_password() {
    for dialect in [Dialect::Source, Dialect::Minecraft] {
        let (sent, received) = talk(dialect, PASSWORD, "stop").await;
        sent.unwrap();
        assert_eq!(received.as_deref(), Some("stop"), "{dialect:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_never_printed() {
    for dialect in [Dialect::Source, Dialect::Minecraft] {
        let (sent, received) = talk(dialect, "open barley", "stop").await;
        let error = sent.unwrap_err();
        assert!(matches!(error, RconError::Refused { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("barley"));
        assert_eq!(received, None);
    }
}

#[tokio::test]
async fn strange_answers_end_it() {
    let rows: [(&[u8], &str); 4] = [
        (&i32::MAX.to_le_bytes(), "impossible length"),
        (&(-1i32).to_le_bytes(), "impossible length"),
        (&[3, 0, 0, 0], "impossible length"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "impossible length"),
    ];
    for (answer, expected) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer).await.unwrap();
            // Until the other side has had enough.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let password = PASSWORD.into();
        let sent = send_command(Dialect::Source, at, &password, "quit", Duration::from_secs(60));
        let (sent, ()) = tokio::join!(sent, server);
        let error = sent.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_waited_for_longer_than_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let error =
        send_command(Dialect::Minecraft, at, &PASSWORD.into(), "stop", Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, RconError::Slow { .. }), "{error}");
}

#[tokio::test]
async fn nothing_too_long_is_sent_and_nobody_is_no_panic() {
    let at = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let long = "x".repeat(1447);
    let within = Duration::from_secs(60);
    let error = send_command(Dialect::Minecraft, at, &PASSWORD.into(), &long, within).await.unwrap_err();
    assert!(matches!(error, RconError::TooLong { what: "command", longest: 1446 }), "{error}");
    let error = send_command(Dialect::Source, at, &PASSWORD.into(), &long, within).await.unwrap_err();
    assert!(matches!(error, RconError::Connect { .. }), "the listener is gone: {error}");
}
