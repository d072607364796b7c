//! What games speak that were built for other platforms: `[gsdk]`, `[a2s]`.

use super::Faults;
use crate::config::agent::AgentConfig;

pub(super) fn sdk(config: &AgentConfig, faults: &mut Faults) {
    let gsdk = &config.gsdk;
    faults.require(gsdk.listen.ip().is_loopback(), "gsdk.listen", "a loopback address, such as \"127.0.0.1:0\"");
    for (key, dir) in [
        ("gsdk.log_dir", &gsdk.log_dir),
        ("gsdk.shared_content_dir", &gsdk.shared_content_dir),
        ("gsdk.certificate_dir", &gsdk.certificate_dir),
    ] {
        faults.require(dir.as_ref().is_none_or(|dir| dir.is_absolute()), key, "an absolute path");
    }
}
