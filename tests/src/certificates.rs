//! Certificates for servers of the tests, made by `openssl`.

use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// An authority, and certificates of it for the server and for a client, in `folder`: `authority.pem`,
/// and `server` and `client` with the ends `.pem` and `.key`, for `localhost` and `127.0.0.1`.
///
/// # Errors
/// `openssl` is not there, or refuses.
pub fn write(folder: &Path) -> Result<()> {
    const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output()?;
        if !output.status.success() {
            bail!("openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    let own = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=authority",
        "-keyout",
        "authority.key",
        "-out",
        "authority.pem",
    ];
    openssl(&[&own[..], &KEY].concat())?;
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")?;
    for name in ["server", "client"] {
        let [key, request, certificate] = ["key", "csr", "pem"].map(|end| format!("{name}.{end}"));
        openssl(
            &[
                &["req", "-subj", "/CN=localhost", "-keyout", &key, "-out", &request],
                &KEY[..],
            ]
            .concat(),
        )?;
        let sign = [
            "x509",
            "-req",
            "-days",
            "2",
            "-CA",
            "authority.pem",
            "-CAkey",
            "authority.key",
            "-CAcreateserial",
        ];
        let files = ["-extfile", "names", "-in", &request, "-out", &certificate];
        openssl(&[&sign[..], &files].concat())?;
    }
    Ok(())
}
