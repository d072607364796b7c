//! A remote console as Source and Minecraft servers have it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

/// Whose console it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Says something empty before it answers a password.
    Source,
    Minecraft,
}

fn packet(stream: &mut TcpStream) -> std::io::Result<(i32, i32, String)> {
    let mut number = || -> std::io::Result<i32> {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes)?;
        Ok(i32::from_le_bytes(bytes))
    };
    let (size, id, kind) = (number()?, number()?, number()?);
    let mut body = vec![0; usize::try_from(size).unwrap() - 8];
    stream.read_exact(&mut body)?;
    Ok((id, kind, String::from_utf8(body[..body.len() - 2].to_vec()).unwrap()))
}

fn answer(stream: &mut TcpStream, id: i32, kind: i32) {
    let numbers = [10i32, id, kind].into_iter().flat_map(i32::to_le_bytes).chain([0, 0]);
    stream.write_all(&numbers.collect::<Vec<u8>>()).unwrap();
}

/// A remote console that lets in who knows the password; what the first of them said.
pub fn console(listener: &TcpListener, password: &str, dialect: Dialect) -> String {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let (id, kind, said) = packet(&mut stream).unwrap();
        assert_eq!(kind, 3);
        if dialect == Dialect::Source {
            answer(&mut stream, id, 0);
        }
        answer(&mut stream, if said == password { id } else { -1 }, 2);
        if said == password {
            let (_, kind, command) = packet(&mut stream).unwrap();
            assert_eq!(kind, 2);
            return command;
        }
    }
}
