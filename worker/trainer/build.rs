//! Gives the binary the folder of libtorch as run path, so that nobody needs `LD_LIBRARY_PATH`.
fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    println!(
        "cargo:rustc-env=LIBTORCH_VERSION={}",
        libtorch_version().unwrap_or_else(|| "2.11.0".into())
    );
    // MKL asks this symbol whether the CPU may use its fast path; main.rs answers yes.
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=mkl_serv_intel_cpu_true");
}

/// As libtorch's own `version.py` says it, for example `2.11.0+cu130`; tch builds with one release only.
fn libtorch_version() -> Option<String> {
    let lib = std::env::var_os("DEP_TCH_LIBTORCH_LIB")?;
    let file = std::path::Path::new(&lib).parent()?.join("version.py");
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split('\'').nth(1)?.to_owned())
}
