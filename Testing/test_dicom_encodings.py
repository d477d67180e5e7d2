"""How the bytes of a DICOM file may be written: transfer syntaxes, bits, preamble, and other files beside."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from SubregionHabitatLib import dicom_gdcm
from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.dicom_frames import scan_folder
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import write_dicom
from support.dicom_edits import edit_files
from support.reading import assert_same, small_exam


@pytest.fixture(scope="module")
def small():
    return small_exam()


@pytest.fixture
def exam(small, tmp_path):
    write_dicom(small, tmp_path / "exam")
    return tmp_path / "exam"


def rewrite(folder, syntax):
    for path in sorted(folder.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
        if hasattr(dataset, "compress") and syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
        if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
            pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little)
        else:
            dataset.save_as(path)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_native_transfer_syntaxes(small, exam, syntax):
    rewrite(exam, syntax)
    assert_same(read_dicom_exam(exam), small)


def test_rle_lossless(small, exam):
    rewrite(exam, RLELossless)
    assert_same(read_dicom_exam(exam), small)


def test_jpeg_ls_lossless_where_a_decoder_is_installed(small, exam):
    pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed")
    rewrite(exam, JPEGLSLossless)
    assert_same(read_dicom_exam(exam), small)


@pytest.mark.parametrize(("compressor", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_jpeg_lossless_and_jpeg_2000(small, exam, tmp_path, compressor, syntax):
    for path in sorted(exam.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        coded = coded_by_simpleitk(dataset.pixel_array, compressor, tmp_path / "coded.dcm")
        assert coded.file_meta.TransferSyntaxUID == syntax
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.PixelData = coded.PixelData
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
    assert_same(read_dicom_exam(exam), small)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_signed_frames_of_one_file_by_simpleitk(tmp_path, compressor):
    values = np.random.default_rng(3).integers(-900, 3000, (3, 20, 24)).astype(np.int16)
    dataset = coded_by_simpleitk(values[0], compressor, tmp_path / "frame.dcm")
    files = [coded_by_simpleitk(v, compressor, tmp_path / "frame.dcm") for v in values]
    dataset.NumberOfFrames = 3
    dataset.PixelData = encapsulate([next(generate_frames(f.PixelData, number_of_frames=1)) for f in files])
    dataset["PixelData"].VR = "OB"
    dataset.RescaleSlope, dataset.RescaleIntercept = 3, 7  # for the reader of the exam to apply
    dataset.save_as(tmp_path / "all.dcm")
    found = list(dicom_gdcm.decoded_frames(tmp_path / "all.dcm", [2, 0]))
    np.testing.assert_array_equal(found, values[[2, 0]])


def coded_by_simpleitk(values, compressor, path):
    """The data set of a file whose pixels ITK has compressed."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(values[None]))
    return pydicom.dcmread(path)


def test_a_syntax_that_cannot_be_decoded_is_named(exam):
    for path in sorted(exam.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(20)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"  # HTJ2K: no decoder in any dependency
        dataset.save_as(path)
    with pytest.raises(
        InputError, match=r"IM00001\.dcm is compressed as High-Throughput JPEG 2000 .*cannot be decoded"
    ):
        read_dicom_exam(exam)


def test_damaged_compressed_pixels_are_refused(exam):
    rewrite(exam, RLELossless)
    victim = sorted(exam.glob("*.dcm"))[7]
    victim.write_bytes(victim.read_bytes()[:-900])
    with pytest.raises(InputError, match=rf"The pixels of {victim.name} cannot be read .* restore it"):
        read_dicom_exam(exam)


def test_files_without_preamble(small, exam):
    for path in sorted(exam.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        bare = pydicom.Dataset(dataset)
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert (exam / "IM00001.dcm").read_bytes()[:2] == b"\x08\x00"
    assert_same(read_dicom_exam(exam), small)


@pytest.mark.parametrize("junk", ["overlay in the unused bits", "values in the high bits"])
def test_unused_bits_are_no_signal(small, exam, junk):
    def spoil(ds):
        values = ds.pixel_array.astype("<u2")
        if junk.startswith("overlay"):
            values |= np.uint16(0x8000)
        else:
            values <<= np.uint16(4)
            ds.HighBit = 15
        ds.PixelData = values.tobytes()

    edit_files(exam, spoil)
    assert_same(read_dicom_exam(exam), small)


def test_signed_pixels_and_eight_bits(small, exam):
    def signed(ds):
        values = ds.pixel_array.astype("<i2") - 300
        ds.PixelData = (values & 0x1FFF).astype("<u2").tobytes()
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 1, 13, 12
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 300, "US"

    edit_files(exam, signed)
    assert_same(read_dicom_exam(exam), small)

    def eight(ds):
        ds.PixelData = (
            (small.exam.signal[int(ds.AcquisitionNumber) - 1].max() * np.ones((40, 40)) / 50).astype("u1").tobytes()
        )
        ds.PixelRepresentation, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 0, 8, 8, 7
        del ds.RescaleSlope, ds.RescaleIntercept

    edit_files(exam, eight)
    expected = np.floor(small.exam.signal.max(axis=(1, 2, 3)) / 50)
    assert np.array_equal(read_dicom_exam(exam).signal[:, 3, 5, 7], expected)


def test_color_images_are_not_phases(exam):
    def colored(ds):
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.PixelData = bytes(40 * 40 * 6)

    edit_files(exam, colored)
    with pytest.raises(InputError, match="No dynamic contrast-enhanced MR series was found"):
        read_dicom_exam(exam)


def test_a_dicomdir_and_other_files_are_passed_over(small, exam):
    from pydicom.fileset import FileSet

    (exam / "notes.txt").write_text("taken on a Monday")
    (exam / "picture.png").write_bytes(b"\x89PNG" + bytes(400))
    (exam / "starts-like-dicom").write_bytes(b"\x08\x00\x05\x00" + bytes(300))
    (exam / "empty").write_bytes(b"")
    fileset = FileSet()
    for path in sorted(exam.glob("*.dcm")):
        fileset.add(path)
    fileset.write(exam / "disc")
    for path in exam.glob("*.dcm"):
        path.unlink()
    assert (exam / "disc" / "DICOMDIR").exists()
    assert_same(read_dicom_exam(exam), small)


def test_text_in_another_character_set(small, exam):
    def umlaut(ds):
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SeriesDescription = "Dynamik größer"

    edit_files(exam, umlaut)
    assert read_dicom_exam(exam).source.description == "Dynamik größer"


def test_the_header_scan_keeps_no_pixels(exam):
    import tracemalloc

    read = sum(path.stat().st_size for path in exam.glob("*.dcm"))
    tracemalloc.start()
    scan = scan_folder(exam)
    held, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(len(f) for f in scan.frames.values()) == 50
    assert held < 0.7 * read  # headers only


def test_native_pixels_equal_those_of_pydicom(ucsf_exam):
    from support.data import require_data

    folder = require_data("ucsf-br-06", "image_dce_3dfgre_orig")
    expected = {}
    for path in sorted(folder.glob("*.dcm")):
        ds = pydicom.dcmread(path)
        expected[(ds.ContentTime, float(ds.ImagePositionPatient[0]))] = ds.pixel_array
    found = ucsf_exam.signal.reshape(-1, 256, 256)
    heights = [float(ucsf_exam.geometry.lps_of(np.array([[z, 0, 0]]))[0, 0]) for z in range(60)]
    clocks = sorted({clock for clock, _ in expected})
    nearest = {round(h): h for _, h in expected}
    planes = [expected[(clock, nearest[round(h)])] for clock in clocks for h in heights]
    assert np.array_equal(found, np.stack(planes))


@pytest.mark.filterwarnings("ignore")
def test_any_damage_to_a_header_gives_the_exam_or_one_sentence(small, exam):
    """Bytes changed, lost, added or cut off anywhere in a header: never another error, never another signal."""
    rng = np.random.default_rng(0)
    victim = exam / "IM00017.dcm"
    whole = victim.read_bytes()
    header = whole.index(b"\xe0\x7f\x10\x00")
    refused = 0
    for kind in np.tile(np.arange(4), 12):
        damaged, place = bytearray(whole), int(rng.integers(header))
        if kind == 0:
            damaged[place] = int(rng.integers(256))
        elif kind == 1:
            del damaged[place:]
        elif kind == 2:
            del damaged[place : place + int(rng.integers(1, 9))]
        else:
            damaged[place:place] = rng.bytes(int(rng.integers(1, 9)))
        victim.write_bytes(damaged)
        try:
            found = read_dicom_exam(exam)
        except InputError as error:
            refused += 1
            sentence = str(error)
        else:
            sentence = "."
            assert np.array_equal(found.signal, small.exam.signal)
        assert sentence.endswith(".")
        assert "\n" not in sentence
    assert refused > 30
