//! The units: their rating, and what happens under a real systemd.

use crate::support::component;
use std::{path::PathBuf, process::Command};

fn unit(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

#[test]
fn agent_and_service_expose_little() {
    let Some(analyze) = component::program("systemd-analyze", "systemd") else { return };
    for name in ["gameside@.service", "gameside-sessions.service"] {
        let output = Command::new(&analyze)
            .args(["security", "--offline=yes", "--no-pager", "--threshold=20"])
            .arg(unit(name))
            .output()
            .unwrap();
        // It fails above the threshold, which it counts in tenths.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{name} is rated above 2.0:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}
