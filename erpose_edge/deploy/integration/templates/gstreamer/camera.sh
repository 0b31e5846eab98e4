#!/bin/sh
# Frames of a camera, file or stream through GStreamer into `run`: one line of JSON a frame.
# Generated for $target.
#
#   sh integration/gstreamer/camera.sh csi              Jetson's camera connector, sensor 0
#   sh integration/gstreamer/camera.sh usb /dev/video0
#   sh integration/gstreamer/camera.sh mjpeg /dev/video0  a USB camera in its compressed mode
#   sh integration/gstreamer/camera.sh libcamera        Raspberry Pi's camera connector
#   sh integration/gstreamer/camera.sh file /home/me/video.mp4
#   sh integration/gstreamer/camera.sh rtsp rtsp://192.168.1.10/stream
#   sh integration/gstreamer/camera.sh test             a test picture, 30 frames
#   sh integration/gstreamer/camera.sh --print usb      only says the pipeline
#
# WIDTH, HEIGHT and FPS of the environment ask the camera for another mode. A live source gives its
# newest frame: what comes while a frame is worked on is dropped (drop=true max-buffers=1).
# More options of `run` may follow. Needs an OpenCV that was built with GStreamer: JetPack's and
# Debian's is, pip's is not.
set -eu

CONVERT='$convert'
WIDTH="$${WIDTH:-1280}"
HEIGHT="$${HEIGHT:-720}"
FPS="$${FPS:-30}"

fail() {
    echo "error: $$1" >&2
    exit 2
}

print=no
if [ "$${1:-}" = --print ]; then
    print=yes
    shift
fi
kind="$${1:-$kind}"
where="$${2:-}"
for number in "$$WIDTH" "$$HEIGHT" "$$FPS"; do
    case "$$number" in
        '' | *[!0-9]*) fail "WIDTH, HEIGHT, FPS: expected whole numbers, got '$$number'" ;;
    esac
done
# What is left of the user's text can end neither an element nor a property.
case "$$where" in
    *[!A-Za-z0-9._:/@%?\&=+,~-]*)
        fail "source: expected a path or address without blanks and quotes, got '$$where'; rename it" ;;
esac

mode="width=$$WIDTH,height=$$HEIGHT,framerate=$$FPS/1"
newest='appsink drop=true max-buffers=1 sync=false'
every='appsink sync=false'
bgr='video/x-raw,format=BGR'
case "$$kind" in
    csi)
        pipeline="nvarguscamerasrc sensor-id=$${where:-0} ! video/x-raw(memory:NVMM),$$mode ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! $$bgr ! $$newest" ;;
    usb)
        pipeline="v4l2src device=$${where:-/dev/video0} ! video/x-raw,$$mode ! videoconvert ! $$bgr ! $$newest" ;;
    mjpeg)
        pipeline="v4l2src device=$${where:-/dev/video0} ! image/jpeg,$$mode ! jpegdec ! videoconvert ! $$bgr ! $$newest" ;;
    libcamera)
        pipeline="libcamerasrc ! video/x-raw,$$mode ! videoconvert ! $$bgr ! $$newest" ;;
    file)
        [ -f "$$where" ] || fail "file: expected a video, got '$$where'; check the path"
        case "$$where" in /*) ;; *) where="$$(pwd)/$$where" ;; esac
        pipeline="filesrc location=$$where ! decodebin ! $$CONVERT ! $$bgr ! $$every" ;;
    rtsp)
        case "$$where" in
            rtsp://?* | rtsps://?*) ;;
            *) fail "rtsp: expected rtsp://..., got '$$where'" ;;
        esac
        pipeline="rtspsrc location=$$where latency=100 ! decodebin ! $$CONVERT ! $$bgr ! $$newest" ;;
    test)
        pipeline="videotestsrc num-buffers=30 ! video/x-raw,$$mode ! videoconvert ! $$bgr ! $$every" ;;
    *)
        fail "source: expected csi, usb, mjpeg, libcamera, file, rtsp or test, got '$$kind'" ;;
esac

if [ "$$print" = yes ]; then
    echo "$$pipeline"
    exit 0
fi
if [ $$# -ge 2 ]; then shift 2; elif [ $$# -eq 1 ]; then shift; fi
bundle="$$(cd "$$(dirname "$$0")/../.." && pwd)"
cd "$$bundle"
exec python3 -m erpose_runtime run --source "gst:$$pipeline" --json "$$@"
