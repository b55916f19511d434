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
    native();
    // MKL asks this symbol whether the CPU may use its fast path; main.rs answers yes.
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=mkl_serv_intel_cpu_true");
}

/// Compiles what tch does not bind.
fn native() {
    println!("cargo:rerun-if-changed=native");
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let include = std::path::Path::new(&lib).with_file_name("include");
    // The wheel's libtorch, as torch-sys expects it where nothing else is said.
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".into());
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .warnings(false)
        .std("c++17")
        // As the library was compiled: some of its classes have other members without.
        .define("NDEBUG", None)
        .flag(format!("-D_GLIBCXX_USE_CXX11_ABI={abi}"))
        .include(include)
        .files([
            "native/allocator.cpp",
            "native/attention.cpp",
            "native/kept.cpp",
            "native/libtorch.cpp",
            "native/linear.cpp",
            "native/profile.cpp",
            "native/threads.cpp",
        ]);
    // With it libtorch's loops over several threads, which are templates, use those that libtorch has itself: of the OpenMP
    // of GCC. That of Clang would start others beside them, so that there they stay on one.
    if build.get_compiler().is_like_gnu() {
        build.flag("-fopenmp");
        println!("cargo:rustc-link-lib=gomp");
    }
    build.compile("trainer_native");
    tiles();
}

/// What is called only where the CPU has AMX. A compiler that does not know it, or another processor, makes these empty.
fn tiles() {
    let mut build = cc::Build::new();
    build.cpp(true).warnings(false).std("c++17");
    build.files(["native/tiles/attention.cpp", "native/tiles/products.cpp"]);
    for part in [
        "amx-tile",
        "amx-bf16",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512dq",
        "avx512bf16",
    ] {
        build.flag_if_supported(format!("-m{part}"));
    }
    build.flag("-fno-exceptions").compile("trainer_tiles");
}

/// As libtorch's own `version.py` says it, for example `2.11.0+cu130`; tch builds with one release only.
fn libtorch_version() -> Option<String> {
    let lib = std::env::var_os("DEP_TCH_LIBTORCH_LIB")?;
    let file = std::path::Path::new(&lib).parent()?.join("version.py");
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split('\'').nth(1)?.to_owned())
}
