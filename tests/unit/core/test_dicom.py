"""The series of a DICOM file, against pydicom, and files that are none."""

import pytest

from workflow_scripts.core.dicom import Series, read_series

pydicom = pytest.importorskip("pydicom", reason="pydicom writes the files")
uids = pytest.importorskip("pydicom.uid")


def _write(path, open_length=False, sop_class=None, syntax=None, **elements):
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax or uids.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class or uids.VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uids.generate_uid()
    other = pydicom.Dataset()  # another series is named before the file's own
    other.SeriesInstanceUID = "1.2.3.4"
    nested = pydicom.Dataset()
    nested.ReferencedSOPInstanceUID = "1.2.3"
    other.ReferencedInstanceSequence = pydicom.Sequence([nested])
    data.ReferencedSeriesSequence = pydicom.Sequence([other])
    data["ReferencedSeriesSequence"].is_undefined_length = open_length
    other.is_undefined_length_sequence_item = open_length
    other["ReferencedInstanceSequence"].is_undefined_length = open_length
    data.PatientComments = "x" * 9_000
    data.InstanceNumber = 1
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("open_length", [False, True])
@pytest.mark.parametrize("uid", ["1.2.840.1", "1.2.840.12"])  # odd lengths are padded
def test_the_files_own_series(tmp_path, open_length, uid):
    file = _write(tmp_path / "IM0001", open_length, SeriesInstanceUID=uid)
    assert pydicom.dcmread(file).SeriesInstanceUID == uid
    assert read_series(file) == Series(uid, True)


def test_what_is_no_whole_slide(tmp_path):
    file = _write(tmp_path / "a.dcm", sop_class=uids.CTImageStorage, SeriesInstanceUID="1.2")
    assert read_series(file) == Series("1.2", False)


def test_files_without_a_series_that_can_be_read(tmp_path):
    assert read_series(_write(tmp_path / "none.dcm")) is None
    implicit = _write(tmp_path / "i.dcm", syntax=uids.ImplicitVRLittleEndian, SeriesInstanceUID="1.2")
    assert read_series(implicit) is None
    (tmp_path / "x.dcm").write_bytes(b"x")
    assert read_series(tmp_path / "x.dcm") is None and read_series(tmp_path / "gone.dcm") is None
    whole = _write(tmp_path / "whole.dcm", open_length=True, SeriesInstanceUID="1.2").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:500])
    assert read_series(tmp_path / "cut.dcm") is None
    assert read_series(tmp_path) is None


def test_what_lies_beside_a_slide_is_told_by_its_type(tmp_path):
    for kind, beside in (("VOLUME", False), ("LABEL", True), ("OVERVIEW", True), ("THUMBNAIL", True)):
        types = ["ORIGINAL", "PRIMARY", kind, "NONE"]
        assert read_series(_write(tmp_path / "a.dcm", SeriesInstanceUID="1.2", ImageType=types)) == Series(
            "1.2", True, beside
        )


def test_sequences_nested_beyond_sense_and_lengths_beyond_the_file(tmp_path):
    head = b"\0" * 128 + b"DICM"
    nested = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (tmp_path / "a.dcm").write_bytes(head + nested * 13_000)
    assert read_series(tmp_path / "a.dcm") is None
    (tmp_path / "b.dcm").write_bytes(head + b"\x08\x00\x08\x00CS\xff\xffx" + b"\x08\x00\x16\x00UN\0\0\xfe\xff\xff\xff")
    assert read_series(tmp_path / "b.dcm") is None
