//! Python's `huggingface_hub` as the judge: of the hub server, and of the cache that both share.

use crate::bench::{Bench, MODEL, fetch, files, offline};
use anyhow::{Context, Result, ensure};
use shared::hub::{Hub, HubSettings, Needs};
use std::path::{Path, PathBuf};
use tokio::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a Python program with `huggingface_hub` prints, with the bench's hub and this cache.
async fn python(bench: &Bench, cache: &Path, program: &str, environment: &[(&str, &str)]) -> Result<String> {
    let interpreter = Path::new(ROOT).join(".tools/python/bin/python");
    let output = Command::new(&interpreter)
        .args(["-c", program])
        .env("HF_ENDPOINT", bench.server.url())
        .env("HF_HUB_CACHE", cache)
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env_remove("HF_TOKEN")
        .envs(environment.iter().copied())
        .output()
        .await
        .with_context(|| format!("{}: `make setup` installs it", interpreter.display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

const DOWNLOAD: &str = "from huggingface_hub import snapshot_download; print(snapshot_download('acme/mini'))";

#[tokio::test]
async fn python_downloads_from_the_server_what_lies_there() -> Result<()> {
    let bench = Bench::new().await?;
    let folder = python(&bench, &bench.cache(), DOWNLOAD, &[]).await?;
    let (theirs, original) = (files(Path::new(&folder))?, files(&bench.repository(MODEL))?);
    assert!(theirs == original, "the same files, byte for byte: {:?}", theirs.keys());
    assert!(
        bench.server.seen().iter().any(|seen| seen.line.contains("/lfs/")),
        "by way of the redirect"
    );
    Ok(())
}

#[tokio::test]
async fn python_sees_the_servers_refusals_as_the_hubs() -> Result<()> {
    let bench = Bench::new().await?;
    std::fs::create_dir_all(bench.repository("acme/gated"))?;
    std::fs::write(bench.repository("acme/gated").join(".gated"), "hf_right")?;
    std::fs::write(bench.repository("acme/gated").join("config.json"), "{}")?;
    let program = r"
from huggingface_hub import hf_hub_download, HfApi
def refusal(*a, **k):
    try: return hf_hub_download(*a, **k) and 'none'
    except Exception as e: return type(e).__name__
print(refusal('acme/absent', 'config.json'), refusal('acme/mini', 'absent.json'), refusal('acme/mini', 'config.json', revision='v9'), refusal('acme/gated', 'config.json'), refusal('acme/gated', 'config.json', token='hf_right'))
i = HfApi().model_info('acme/gated'); print(i.gated, i.sha)
f = next(x for x in HfApi().list_repo_tree('acme/mini', recursive=True) if x.path == 'model.safetensors'); print(f.size, f.lfs.sha256)
";
    let said = python(&bench, &bench.cache(), program, &[]).await?;
    let lines: Vec<&str> = said.lines().collect();
    let refusals = "RepositoryNotFoundError RemoteEntryNotFoundError RevisionNotFoundError GatedRepoError none";
    assert_eq!(lines[0], refusals);
    assert!(lines[1].starts_with("auto "), "{said}");
    assert!(lines[2].starts_with(&crate::bench::WEIGHTS.to_string()), "{said}");
    Ok(())
}

#[tokio::test]
async fn python_follows_the_servers_redirect_of_a_renamed_repository() -> Result<()> {
    let bench = Bench::new().await?;
    std::fs::create_dir_all(bench.repository("mini-base"))?;
    std::fs::write(bench.repository("mini-base/.renamed"), MODEL)?;
    let program = "from huggingface_hub import snapshot_download as d, HfApi; print(HfApi().model_info('mini-base').id, d('mini-base'))";
    let said = python(&bench, &bench.cache(), program, &[]).await?;
    let (id, folder) = said.split_once(' ').context("two words")?;
    assert_eq!(id, MODEL);
    assert!(files(Path::new(folder))? == files(&bench.repository(MODEL))?);
    bench.server.forget();
    let hub = offline(&bench)?;
    let found = hub.resolve("mini-base", "main", Needs::default()).await?;
    assert_eq!(
        fetch(&hub, &found.model).await?.folder(),
        Path::new(folder),
        "one cache, one folder"
    );
    Ok(())
}

#[tokio::test]
async fn python_reads_our_cache_offline() -> Result<()> {
    let bench = Bench::new().await?;
    let (_, snapshot) = bench.fetched().await?;
    let program = r"
from huggingface_hub import hf_hub_download, scan_cache_dir
for name in ['config.json', '1_Pooling/config.json', 'model.safetensors']: path = hf_hub_download('acme/mini', name)
scan = scan_cache_dir()
assert not scan.warnings, scan.warnings
print(path, [(r.repo_id, len(r.revisions)) for r in scan.repos])
";
    let said = python(&bench, &bench.cache(), program, &[("HF_HUB_OFFLINE", "1")]).await?;
    assert!(
        said.starts_with(&format!("{}/model.safetensors", snapshot.folder().display())),
        "{said}"
    );
    assert!(said.ends_with("[('acme/mini', 1)]"), "{said}");
    Ok(())
}

#[tokio::test]
async fn python_downloads_nothing_that_we_have() -> Result<()> {
    let bench = Bench::new().await?;
    let (_, _snapshot) = bench.fetched().await?;
    bench.server.forget();
    let program = "from huggingface_hub import snapshot_download as d; print(d('acme/mini', allow_patterns=['*.safetensors', '*.json', 'vocab.txt']))";
    python(&bench, &bench.cache(), program, &[]).await?;
    assert_eq!(bench.server.bytes_sent("/"), 0);
    Ok(())
}

#[tokio::test]
async fn we_read_pythons_cache_offline() -> Result<()> {
    let bench = Bench::new().await?;
    let folder = python(&bench, &bench.cache(), DOWNLOAD, &[]).await?;
    bench.server.forget();
    let hub = Hub::new(HubSettings {
        offline: true,
        ..bench.settings()
    })?;
    let snapshot = fetch(&hub, &hub.resolve(MODEL, "main", Needs::default()).await?.model).await?;
    assert_eq!(snapshot.folder(), Path::new(&folder));
    bench.assert_equal(snapshot.folder(), MODEL)?;
    assert!(bench.server.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn bytes_that_python_cannot_check_are_replaced_by_us() -> Result<()> {
    let bench = Bench::new().await?;
    let folder = PathBuf::from(python(&bench, &bench.cache(), DOWNLOAD, &[]).await?);
    std::fs::write(std::fs::canonicalize(folder.join("tokenizer.json"))?, "{}")?;
    let (_, snapshot) = bench.fetched().await?;
    bench.assert_equal(snapshot.folder(), MODEL)
}
