from gateway.drivers.host import host_figures


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_board_tells_its_heat_supply_memory_and_wear(tmp_path):
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "61322\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "48000\n")
    put(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    put(tmp_path, "proc/meminfo", "MemTotal: 3884388 kB\nMemAvailable:    250000 kB\n")
    put(tmp_path, "proc/self/statm", "30000 12000 2000 1 0 0 0\n")
    put(tmp_path, "sys/block/mmcblk0/device/life_time", "0x02 0x0b\n")
    found = host_figures(tmp_path)
    assert found["cpu_temp"] == 61.322
    assert found["under_voltage"] == 1
    assert found["memory_available"] == 256.0
    assert found["memory_used"] > 40
    assert found["wear"] == 100


def test_what_a_machine_does_not_have_is_left_out(tmp_path):
    assert host_figures(tmp_path) == {}


def test_files_that_say_nonsense_are_no_figures(tmp_path):
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "hot\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "\n")
    put(tmp_path, "proc/meminfo", "MemAvailable: lots\n")
    put(tmp_path, "proc/self/statm", "x\n")
    put(tmp_path, "sys/block/mmcblk0/device/life_time", "0x00 0xff zz\n")
    assert host_figures(tmp_path) == {}


def test_this_machine_says_how_much_memory_there_is():
    found = host_figures()
    assert found["memory_available"] > 0
    assert found["memory_used"] > 1
