"""The blob storage that the settings open, and the errors for one that cannot be opened."""

from pathlib import Path

import pytest

from batchgate.blobs import BucketBlobs, FolderBlobs, blob_location, open_blobs
from batchgate.engine.model.errors import BlobError, ConfigurationError
from batchgate.settings import load_settings

SECRET = "planted-secret-key"
AZURE = {"account_name": "devstoreaccount1", "account_key": "cGxhbnRlZA=="}


@pytest.mark.parametrize(
    ("url", "folder"),
    [(None, "blobs"), ("file:///{tmp}/else%20where", "else where"), ("file:///{tmp}/new/deep/", "new/deep")],
)
def test_blobs_are_in_the_data_folder_or_in_the_configured_folder(tmp_path: Path, url: str | None, folder: str) -> None:
    blob_url = url and url.format(tmp=str(tmp_path).lstrip("/"))
    blobs = open_blobs(blob_url, tmp_path, {}, {})
    assert isinstance(blobs, FolderBlobs)
    assert (tmp_path / folder).is_dir()
    assert blobs.local_path("a/b") == tmp_path / folder / "a" / "b"
    assert blob_location(blob_url, tmp_path) == str(tmp_path / folder)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket", {}),
        ("s3://bucket/a/prefix/", {"aws_region": "eu-central-1", "endpoint": "http://minio:9000"}),
        ("s3://bucket/a", {"virtual_hosted_style_request": True, "timeout": "7s", "aws_allow_http": True}),
        ("gs://bucket/prefix", {}),
        ("az://container/prefix", AZURE),
    ],
)
def test_a_bucket_opens_with_its_url_and_options_of_obstore(
    tmp_path: Path, url: str, options: dict[str, str | bool]
) -> None:
    blobs = open_blobs(url, tmp_path, options, {})
    assert isinstance(blobs, BucketBlobs)
    assert blobs.local_path("a") is None
    assert blob_location(url, tmp_path) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "options", "setting", "expected"),
    [
        ("s3://", {}, "blob_url", "s3://bucket/prefix"),
        ("ftp://host/path", {}, "blob_url", "s3://bucket/prefix"),
        ("file://host/path", {}, "blob_url", "an absolute path"),
        (f"s3://key:{SECRET}@bucket", {}, "blob_url", "without keys"),
        (f"az://container?sig={SECRET}", AZURE, "blob_url", "without keys"),
        ("az://container", {}, "blob_url", "Account must be specified"),
        ("s3://bucket", {"secret": SECRET}, "storage_options.secret", "an option that obstore supports"),
        ("gs://bucket", {"aws_region": "x"}, "storage_options.aws_region", "an option that obstore supports"),
        (None, {"region": "x"}, "storage_options", "for a bucket"),
        ("file:///tmp", {"region": "x"}, "storage_options", "for a bucket"),
    ],
)
def test_an_invalid_location_is_refused_with_the_setting_and_without_the_keys(
    tmp_path: Path, url: str | None, options: dict[str, str | bool], setting: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as raised:
        open_blobs(url, tmp_path, options, {})
    assert raised.value.setting == setting
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "s3://bucket"])
async def test_missing_credentials_are_reported(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    # No request leaves this machine: the metadata server is a closed port.
    options: dict[str, str | bool] = {"metadata_endpoint": "http://127.0.0.1:9/"} if url.startswith("s3") else {}
    blobs = open_blobs(url, tmp_path, options | {"proxy_url": "http://127.0.0.1:9"}, {})
    with pytest.raises(BlobError, match=f"^{url}: there are no credentials for the store"):
        await blobs.check()


def test_the_settings_file_and_the_environment_set_the_location(tmp_path: Path) -> None:
    config = tmp_path / "batchgate.toml"
    config.write_text(
        f'blob_url = "s3://one"\n[storage_options]\nsecret_access_key = "{SECRET}"\nskip_signature = true\n'
    )
    settings = load_settings(config, {"BATCHGATE_BLOB_URL": "gs://other/x"})
    assert settings.blob_url == "gs://other/x"
    assert settings.storage_options == {"secret_access_key": SECRET, "skip_signature": True}


@pytest.mark.parametrize(
    ("content", "environment", "expected"),
    [
        ('blob_url = "bucket"', {}, "blob_url: "),
        (f'storage_options = {{ secret_access_key = ["{SECRET}"] }}', {}, "storage_options"),
        (
            "",
            {"BATCHGATE_STORAGE_OPTIONS": SECRET},
            r"BATCHGATE_STORAGE_OPTIONS: \[storage_options\] in the settings file",
        ),
    ],
)
def test_invalid_settings_are_refused_without_their_values(
    tmp_path: Path, content: str, environment: dict[str, str], expected: str
) -> None:
    config = tmp_path / "batchgate.toml"
    config.write_text(content)
    with pytest.raises(ConfigurationError, match=expected) as raised:
        load_settings(config, environment)
    assert SECRET not in str(raised.value)
