/* A Modbus server that shares nothing with the gateway: libmodbus, RTU on a terminal or TCP.
 *
 *   server rtu <path> <baud>      server tcp <port, 0 for any>
 *
 * The first line on stdout is a JSON object: where it listens, and for every served value what a
 * person reading the device's display would expect, with its unit ("profile" is the shipped file it
 * belongs to, empty where there is none). The words are put into the
 * tables here, by hand or from the bytes of a C float, never by code of the gateway.
 */
#include <errno.h>
#include <modbus.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#define TABLE_SIZE 512 /* of a table whose registers start at 0 */
#define SILENT_UNIT 99 /* hears everything and never answers */

static modbus_mapping_t *mappings[248];
static char expected[131072];
static size_t expected_length;

static modbus_mapping_t *unit(int id)
{
    if (!mappings[id]) {
        mappings[id] = modbus_mapping_new(TABLE_SIZE, TABLE_SIZE, TABLE_SIZE, TABLE_SIZE);
        if (!mappings[id]) {
            fprintf(stderr, "no memory for unit %d\n", id);
            exit(1);
        }
    }
    return mappings[id];
}

/* channel < 0: the unit is one device; else it is one of the parts behind it. */
static void expect_of(const char *profile, int id, int channel, const char *point,
                      const char *value, const char *engineering_unit)
{
    int length = snprintf(expected + expected_length, sizeof expected - expected_length,
                          "%s{\"profile\":\"%s\",\"unit_id\":%d,\"channel\":%d,\"point\":\"%s\","
                          "\"value\":%s,\"unit\":\"%s\"}",
                          expected_length ? "," : "", profile, id, channel, point, value,
                          engineering_unit);
    if (length < 0 || expected_length + (size_t)length >= sizeof expected) {
        fprintf(stderr, "the table of expected values is full\n");
        exit(1);
    }
    expected_length += (size_t)length;
}

static void expect(const char *profile, int id, const char *point, const char *value,
                   const char *engineering_unit)
{
    expect_of(profile, id, -1, point, value, engineering_unit);
}

/* A unit whose holding or input registers start far up; its other tables are empty. */
static modbus_mapping_t *far_unit(int id, int holding_start, int holding_count, int input_start,
                                  int input_count)
{
    if (mappings[id]) {
        fprintf(stderr, "unit %d twice\n", id);
        exit(1);
    }
    mappings[id] = modbus_mapping_new_start_address(0, 0, 0, 0, holding_start, holding_count,
                                                    input_start, input_count);
    if (!mappings[id]) {
        fprintf(stderr, "no memory for unit %d\n", id);
        exit(1);
    }
    return mappings[id];
}

/* Data of a reply as it stands on the wire: two bytes a register, high byte first. */
static void put_frame(uint16_t *table, int at, const uint8_t *data, int bytes)
{
    for (int i = 0; i < bytes; i += 2)
        table[at + i / 2] = (uint16_t)(data[i] << 8 | data[i + 1]);
}

/* IEEE 754, most significant word first. */
static void put_float(uint16_t *table, int at, float value)
{
    union { float number; uint32_t bits; } both = {.number = value};
    table[at] = (uint16_t)(both.bits >> 16);
    table[at + 1] = (uint16_t)(both.bits & 0xFFFF);
}

static void serve_sdm630(int id)
{
    uint16_t *input = unit(id)->tab_input_registers;
    const char *profile = "eastron-sdm630";
    struct { int at; float value; const char *point, *text, *unit; } rows[] = {
        {0, 230.2f, "voltage_l1", "230.2", "V"},
        {2, 229.87f, "voltage_l2", "229.87", "V"},
        {4, 231.05f, "voltage_l3", "231.05", "V"},
        {6, 12.34f, "current_l1", "12.34", "A"},
        {8, 0.07f, "current_l2", "0.07", "A"},
        {10, 101.9f, "current_l3", "101.9", "A"},
        {12, 2839.6f, "active_power_l1", "2839.6", "W"},
        {14, -16.1f, "active_power_l2", "-16.1", "W"},
        {16, 23545.0f, "active_power_l3", "23545", "W"},
        {30, 0.98f, "power_factor_l1", "0.98", ""},
        {32, 1.0f, "power_factor_l2", "1", ""},
        {34, -0.997f, "power_factor_l3", "-0.997", ""},
        {48, 114.31f, "current_sum", "114.31", "A"},
        {52, 26368.5f, "active_power_total", "26368.5", "W"},
        {62, 0.985f, "power_factor_total", "0.985", ""},
        {70, 49.98f, "frequency", "49.98", "Hz"},
        {72, 123456.7f, "energy_import", "123456.7", "kWh"},
        {74, 0.1f, "energy_export", "0.1", "kWh"},
        {224, 3.3f, "neutral_current", "3.3", "A"},
        {234, 2.1f, "voltage_thd_l1", "2.1", "%"},
        {236, 2.25f, "voltage_thd_l2", "2.25", "%"},
        {238, 1.999f, "voltage_thd_l3", "1.999", "%"},
        {240, 17.6f, "current_thd_l1", "17.6", "%"},
        {242, 0.0f, "current_thd_l2", "0", "%"},
        {244, 33.333f, "current_thd_l3", "33.333", "%"},
        {342, 123460.0f, "energy_total", "123460", "kWh"},
        {346, 41000.3f, "energy_import_l1", "41000.3", "kWh"},
        {348, 41100.7f, "energy_import_l2", "41100.7", "kWh"},
        {350, 41355.7f, "energy_import_l3", "41355.7", "kWh"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_float(input, rows[i].at, rows[i].value);
        expect(profile, id, rows[i].point, rows[i].text, rows[i].unit);
    }
}

static void serve_lx47le(int id)
{
    uint16_t *input = unit(id)->tab_input_registers;
    const char *profile = "lingxun-lx47le";
    input[0] = 0x01F0; /* closed, locked at the device */
    input[4] = 499;
    input[5] = 287;
    input[6] = 65;  /* 65 - 40 = 25 */
    input[7] = 112; /* 112 - 40 = 72 */
    input[8] = 221;
    input[9] = 1234;
    input[10] = 97;
    input[11] = 2650;
    expect(profile, id, "breaker_status", "496", "");
    expect(profile, id, "frequency", "49.9", "Hz");
    expect(profile, id, "residual_current", "287", "mA");
    expect(profile, id, "temperature_n", "25", "°C");
    expect(profile, id, "temperature_l1", "72", "°C");
    expect(profile, id, "voltage_l1", "221", "V");
    expect(profile, id, "current_l1", "12.34", "A");
    expect(profile, id, "power_factor_l1", "0.97", "");
    expect(profile, id, "active_power_l1", "2650", "W");
}

static void serve_qdy30a(int id)
{
    /* golden frame: unit 3 = MPa, 2 decimals, 65 -> 0.65 MPa, range 0..20.00 MPa */
    const uint8_t data[] = {0x00, 0x03, 0x00, 0x02, 0x00, 0x41, 0x00, 0x00, 0x07, 0xD0};
    put_frame(unit(id)->tab_registers, 2, data, sizeof data);
    unit(id)->tab_registers[0] = (uint16_t)id;
    expect("qdy30a", id, "pressure", "0.65", "MPa");
    expect("", id, "range_full", "20", "MPa");
}

static void serve_mpd380(int id)
{
    /* the same registers, but this maker's code 3 is bar: 6.5 bar = 0.65 MPa */
    const uint8_t data[] = {0x00, 0x03, 0x00, 0x01, 0x00, 0x41, 0x00, 0x00, 0x00, 0xA0};
    put_frame(unit(id)->tab_registers, 2, data, sizeof data);
    expect("mpd-380", id, "pressure", "0.65", "MPa");
    expect("", id, "range_full", "1.6", "MPa");
}

static void serve_qdy30a_level(int id)
{
    const uint8_t data[] = {0x00, 0x02, 0x00, 0x00, 0x09, 0xC5}; /* 2501 mm */
    put_frame(unit(id)->tab_registers, 2, data, sizeof data);
    expect("qdy30a-level", id, "level", "2.501", "m");
}

static void serve_pzem016(int id)
{
    /* golden frame of a PZEM-016, low word first */
    const uint8_t data[] = {0x08, 0xD1, 0x00, 0x6C, 0x00, 0x00, 0x00, 0xF4, 0x00, 0x00,
                            0x00, 0x26, 0x00, 0x00, 0x01, 0xF4, 0x00, 0x64, 0x00, 0x00};
    const char *profile = "peacefair-pzem-016";
    put_frame(unit(id)->tab_input_registers, 0, data, sizeof data);
    expect(profile, id, "voltage", "225.7", "V");
    expect(profile, id, "current", "0.108", "A");
    expect(profile, id, "active_power", "24.4", "W");
    expect(profile, id, "energy_import", "0.038", "kWh");
    expect(profile, id, "frequency", "50", "Hz");
    expect(profile, id, "power_factor", "1", "");
    expect(profile, id, "over_power_alarm", "0", "");
}

static void serve_jxbs_3001_co(int id)
{
    const uint8_t data[] = {0x00, 0xBD}; /* golden frame: 18.9 ppm */
    put_frame(unit(id)->tab_registers, 6, data, sizeof data);
    expect("jxbs-3001-co", id, "co", "18.9", "ppm");
}

static void serve_xy_md02(int id)
{
    unit(id)->tab_input_registers[1] = 0xFFCD; /* -51 tenths: -5.1 degrees */
    unit(id)->tab_input_registers[2] = 655;
    expect("xy-md02", id, "temperature", "-5.1", "°C");
    expect("xy-md02", id, "humidity", "65.5", "%RH");
}

static void serve_xgardiq(int id)
{
    uint16_t *holding = unit(id)->tab_registers;
    const char *profile = "crowcon-xgardiq";
    holding[99] = 3;
    put_float(holding, 301, 12.7f);
    holding[303] = 1;
    holding[304] = 1;
    holding[305] = 0;
    expect(profile, id, "sensor_ready", "3", "");
    expect(profile, id, "concentration", "12.7", "%LEL");
    expect(profile, id, "status", "1", "");
    expect(profile, id, "alarm1", "1", "");
    expect(profile, id, "alarm2", "0", "");
}

static void serve_inputs(int id)
{
    static const char *points[] = {"di1", "di2", "di3", "di4", "di5", "di6", "di7", "di8"};
    for (int i = 0; i < 8; i++) {
        int is_closed = i == 0 || i == 3 || i == 7;
        unit(id)->tab_input_bits[i] = (uint8_t)is_closed;
        expect("waveshare-rtu-io-8ch", id, points[i], is_closed ? "1" : "0", "");
    }
    unit(id)->tab_input_bits[9] = 1;
    unit(id)->tab_bits[3] = 1;
    expect("", id, "di10", "1", "");
    expect("", id, "do4", "1", "");
}

struct row {
    int at;
    float value;
    const char *point, *text, *unit;
};

static void put_rows(uint16_t *table, int first, const struct row *rows, size_t count,
                     const char *profile, int id)
{
    for (size_t i = 0; i < count; i++) {
        put_float(table, rows[i].at - first, rows[i].value);
        expect(profile, id, rows[i].point, rows[i].text, rows[i].unit);
    }
}

#define PUT_ROWS(table, first, rows, profile, id) \
    put_rows(table, first, rows, sizeof rows / sizeof *rows, profile, id)

static void serve_sdm120(int id)
{
    const struct row rows[] = {
        {0, 230.4f, "voltage", "230.4", "V"},
        {6, 4.567f, "current", "4.567", "A"},
        {12, -1043.2f, "active_power", "-1043.2", "W"}, /* exports */
        {18, 1052.2f, "apparent_power", "1052.2", "VA"},
        {24, -137.5f, "reactive_power", "-137.5", "var"},
        {30, -0.991f, "power_factor", "-0.991", ""},
        {70, 50.01f, "frequency", "50.01", "Hz"},
        {72, 8765.43f, "energy_import", "8765.43", "kWh"},
        {74, 12.5f, "energy_export", "12.5", "kWh"},
        {342, 8777.93f, "energy_total", "8777.93", "kWh"},
    };
    PUT_ROWS(unit(id)->tab_input_registers, 0, rows, "eastron-sdm120", id);
}

/* The plain meter: tenths of a volt and a watt, thousandths of an ampere, hundredths of a hertz. */
static void serve_dtsu666(int id)
{
    const int first = 0x2006;
    const struct row rows[] = {
        {0x2006, 2245.0f, "voltage_l1", "224.5", "V"},
        {0x2008, 2261.0f, "voltage_l2", "226.1", "V"},
        {0x200A, 2304.0f, "voltage_l3", "230.4", "V"},
        {0x200C, 12345.0f, "current_l1", "12.345", "A"},
        {0x200E, 41.0f, "current_l2", "0.041", "A"},
        {0x2010, 3002.0f, "current_l3", "3.002", "A"},
        {0x2012, 34053.0f, "active_power_total", "3405.3", "W"},
        {0x2014, 27296.0f, "active_power_l1", "2729.6", "W"},
        {0x2016, -162.0f, "active_power_l2", "-16.2", "W"},
        {0x2018, 6919.0f, "active_power_l3", "691.9", "W"},
        {0x201A, -3107.0f, "reactive_power_total", "-310.7", "var"},
        {0x202A, 985.0f, "power_factor_total", "0.985", ""},
        {0x202C, 987.0f, "power_factor_l1", "0.987", ""},
        {0x202E, -998.0f, "power_factor_l2", "-0.998", ""},
        {0x2030, 1000.0f, "power_factor_l3", "1", ""},
        {0x2044, 4997.0f, "frequency", "49.97", "Hz"},
    };
    modbus_mapping_t *meter = far_unit(id, first, 0x50, 0, 0);
    PUT_ROWS(meter->tab_registers, first, rows, "chint-dtsu666", id);
}

/* The -H: the same registers without factors. */
static void serve_dtsu666_h(int id)
{
    const int first = 0x2006;
    const struct row rows[] = {
        {0x2006, 224.5f, "voltage_l1", "224.5", "V"},
        {0x2008, 226.1f, "voltage_l2", "226.1", "V"},
        {0x200A, 230.4f, "voltage_l3", "230.4", "V"},
        {0x200C, 12.345f, "current_l1", "12.345", "A"},
        {0x200E, 0.041f, "current_l2", "0.041", "A"},
        {0x2010, 3.002f, "current_l3", "3.002", "A"},
        {0x2012, 3405.3f, "active_power_total", "3405.3", "W"},
        {0x2014, 2729.6f, "active_power_l1", "2729.6", "W"},
        {0x2016, -16.2f, "active_power_l2", "-16.2", "W"},
        {0x2018, 691.9f, "active_power_l3", "691.9", "W"},
        {0x201A, -310.7f, "reactive_power_total", "-310.7", "var"},
        {0x202A, 0.985f, "power_factor_total", "0.985", ""},
        {0x202C, 0.987f, "power_factor_l1", "0.987", ""},
        {0x202E, -0.998f, "power_factor_l2", "-0.998", ""},
        {0x2030, 1.0f, "power_factor_l3", "1", ""},
        {0x2044, 49.97f, "frequency", "49.97", "Hz"},
    };
    modbus_mapping_t *meter = far_unit(id, first, 0x50, 0, 0);
    PUT_ROWS(meter->tab_registers, first, rows, "chint-dtsu666-h", id);
}

/* Two's complement, most significant word first. */
static void put_int32(uint16_t *table, int at, int32_t value)
{
    table[at] = (uint16_t)((uint32_t)value >> 16);
    table[at + 1] = (uint16_t)((uint32_t)value & 0xFFFF);
}

static void serve_adl400(int id)
{
    uint16_t *holding = unit(id)->tab_registers;
    const char *profile = "acrel-adl400";
    put_int32(holding, 0, 12345678); /* hundredths of a kWh */
    holding[100] = 1234;
    holding[101] = 56; /* feeds back: no sign here, but in the power */
    holding[102] = 0;
    put_int32(holding, 356, 2650);
    put_int32(holding, 358, -123);
    put_int32(holding, 360, 100000);
    put_int32(holding, 362, 102527);
    expect(profile, id, "energy_import", "123456.78", "kWh");
    expect(profile, id, "current_l1", "12.34", "A");
    expect(profile, id, "current_l2", "0.56", "A");
    expect(profile, id, "current_l3", "0", "A");
    expect(profile, id, "active_power_l1", "2650", "W");
    expect(profile, id, "active_power_l2", "-123", "W");
    expect(profile, id, "active_power_l3", "100000", "W");
    expect(profile, id, "active_power_total", "102527", "W");
}

static void serve_adl400_float(int id)
{
    const int first = 0x0800;
    const struct row rows[] = {
        {0x0800, 228.3f, "voltage_l1", "228.3", "V"},
        {0x0802, 229.9f, "voltage_l2", "229.9", "V"},
        {0x0804, 230.1f, "voltage_l3", "230.1", "V"},
        {0x080C, 11.92f, "current_l1", "11.92", "A"},
        {0x080E, 0.55f, "current_l2", "0.55", "A"},
        {0x0810, 3.02f, "current_l3", "3.02", "A"},
        {0x0814, 2.6512f, "active_power_l1", "2651.2", "W"}, /* kW */
        {0x0816, -0.123f, "active_power_l2", "-123", "W"},
        {0x0832, 0.974f, "power_factor_total", "0.974", ""},
        {0x0834, 50.02f, "frequency", "50.02", "Hz"},
    };
    uint16_t *holding = far_unit(id, first, 0x50, 0, 0)->tab_registers;
    PUT_ROWS(holding, first, rows, "acrel-adl400-float", id);
    put_int32(holding, 0x0842 - first, 1234567);
    expect("acrel-adl400-float", id, "energy_total", "123456.7", "kWh");
}

static void serve_jxct(int id)
{
    unit(id)->tab_registers[0] = 0x0292; /* 65.8 % */
    unit(id)->tab_registers[1] = 0xFF9B; /* -101 tenths: -10.1 degrees */
    expect("jxct-temp-hum", id, "humidity", "65.8", "%RH");
    expect("jxct-temp-hum", id, "temperature", "-10.1", "°C");
}

static void serve_igd_head(uint16_t *input, int first, int id, int channel, int tenths,
                           const char *concentration, int status)
{
    static const char *bits[] = {
        "alarm_1",      "alarm_2",     "alarm_3",    "fault",              "disabled",
        "sensor_fault", "under_range", "over_range", "communication_fault"};
    const char *profile = "igd-toc-635";
    char text[8];
    input[30000 - first + channel] = (uint16_t)(tenths + 100); /* raw 100 is 0 %LEL */
    input[31000 - first + channel] = (uint16_t)(2405 + channel);
    input[33000 - first + channel] = (uint16_t)status;
    expect_of(profile, id, channel, "concentration", concentration, "%LEL");
    expect_of(profile, id, channel, "supply_voltage", channel ? "24.08" : "24.05", "V");
    snprintf(text, sizeof text, "%d", status);
    expect_of(profile, id, channel, "status", text, "");
    for (int bit = 0; bit < 9; bit++)
        expect_of(profile, id, channel, bits[bit], status >> bit & 1 ? "1" : "0", "");
}

/* Two heads of one panel: a quiet one, and one in much gas. */
static void serve_igd_toc_635(int id)
{
    const int first = 30000;
    uint16_t *input = far_unit(id, 0, 0, first, 4000)->tab_input_registers;
    serve_igd_head(input, first, id, 0, 5, "0.5", 0x000);
    serve_igd_head(input, first, id, 3, 1053, "105.3", 0x087); /* three alarms, over range */
}

static void serve_everything(void)
{
    serve_sdm630(1);
    serve_lx47le(3);
    serve_qdy30a(5);
    serve_mpd380(6);
    serve_xgardiq(7);
    serve_pzem016(8);
    serve_jxbs_3001_co(9);
    serve_xy_md02(10);
    serve_inputs(11);
    serve_qdy30a_level(12);
    serve_sdm120(13);
    serve_dtsu666(14);
    serve_dtsu666_h(15);
    serve_adl400(16);
    serve_adl400_float(17);
    serve_jxct(18);
    serve_igd_toc_635(100);
}

static void print_expected(const char *where, int port)
{
    printf("{\"listens\":\"%s\",\"port\":%d,\"silent_unit\":%d,\"values\":[%s]}\n", where, port,
           SILENT_UNIT, expected);
    fflush(stdout);
}

/* The unit of a request is in its first byte (RTU) or behind the MBAP header (TCP). */
static int answer(modbus_t *context, const uint8_t *request, int length)
{
    int id = request[modbus_get_header_length(context) - 1];
    if (id < 1 || id > 247 || id == SILENT_UNIT || !mappings[id])
        return 0;
    modbus_set_slave(context, id); /* libmodbus answers in the name of this one */
    return modbus_reply(context, request, length, mappings[id]);
}

static uint16_t crc16(const uint8_t *bytes, int length)
{
    uint16_t crc = 0xFFFF;
    for (int i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xA001) : (uint16_t)(crc >> 1);
    }
    return crc;
}

/* libmodbus' receive takes one unit's requests only, so the eight bytes of a read request are
 * collected here; anything else is dropped after a pause, as a device would. */
static int receive_rtu(int descriptor, uint8_t *request)
{
    int length = 0;
    for (;;) {
        fd_set readable;
        struct timeval pause = {1, 0}; /* a busy machine hands over a request in pieces */
        FD_ZERO(&readable);
        FD_SET(descriptor, &readable);
        int ready = select(descriptor + 1, &readable, NULL, NULL, length ? &pause : NULL);
        if (ready < 0)
            return errno == EINTR ? 0 : -1;
        if (ready == 0) {
            length = 0;
            continue;
        }
        ssize_t got = read(descriptor, request + length, (size_t)(8 - length));
        if (got <= 0)
            return -1;
        length += (int)got;
        if (length < 8)
            continue;
        uint16_t crc = crc16(request, 6);
        if (request[6] == (crc & 0xFF) && request[7] == crc >> 8)
            return 8;
        length = 0;
    }
}

static int serve_rtu(const char *path, int baud)
{
    modbus_t *context = modbus_new_rtu(path, baud, 'N', 8, 1);
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    if (!context || modbus_set_slave(context, 1) || modbus_connect(context)) {
        fprintf(stderr, "%s: %s\n", path, modbus_strerror(errno));
        return 1;
    }
    print_expected(path, 0);
    for (;;) {
        int length = receive_rtu(modbus_get_socket(context), request);
        if (length < 0)
            return 0; /* the line is gone */
        if (length > 0 && answer(context, request, length) < 0)
            fprintf(stderr, "reply: %s\n", modbus_strerror(errno));
    }
}

static int serve_tcp(int port)
{
    modbus_t *context = modbus_new_tcp("127.0.0.1", port);
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    int listener = context ? modbus_tcp_listen(context, 4) : -1;
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &size)) {
        fprintf(stderr, "port %d: %s\n", port, modbus_strerror(errno));
        return 1;
    }
    print_expected("127.0.0.1", ntohs(address.sin_port));
    fd_set open_ones;
    int highest = listener;
    FD_ZERO(&open_ones);
    FD_SET(listener, &open_ones);
    for (;;) {
        fd_set readable = open_ones;
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0)
            return 1;
        for (int descriptor = 0; descriptor <= highest; descriptor++) {
            if (!FD_ISSET(descriptor, &readable))
                continue;
            if (descriptor == listener) {
                int client = accept(listener, NULL, NULL);
                if (client >= 0) {
                    FD_SET(client, &open_ones);
                    highest = client > highest ? client : highest;
                }
                continue;
            }
            modbus_set_socket(context, descriptor);
            int length = modbus_receive(context, request);
            if (length < 0) {
                close(descriptor);
                FD_CLR(descriptor, &open_ones);
            } else if (length > 0) {
                answer(context, request, length);
            }
        }
    }
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    serve_everything();
    if (argc == 4 && !strcmp(argv[1], "rtu"))
        return serve_rtu(argv[2], atoi(argv[3]));
    if (argc == 3 && !strcmp(argv[1], "tcp"))
        return serve_tcp(atoi(argv[2]));
    fprintf(stderr, "usage: server rtu <path> <baud> | server tcp <port>\n");
    return 2;
}
